"""Asks a service of the local run directly, over HTTP: also where the broker or the gateway is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec

from deploy.local.errors import FleetError
from deploy.local.tls import operator_files
from shared.errors import Problem
from shared.rpc import Rpc

NO_ANSWER = (FleetError, Problem, httpx.HTTPError, msgspec.DecodeError)
"""What a question to a service may end with; each says why."""


@asynccontextmanager
async def asking(who: str, peers: str) -> AsyncIterator[Rpc]:
    """Asks in the name of `who`; the questions raise `NO_ANSWER`."""
    tls = operator_files() if "https://" in peers else None
    rpc = Rpc(who, timeout_s=10.0, peers=peers, tls=tls, breaker_threshold=5, breaker_open_s=5.0)
    try:
        yield rpc
    finally:
        await rpc.close()
