"""Asks a service of the local run directly, over HTTP: also where the broker or the gateway is away."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec

from deploy import call_keys
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.local.tls import operator_files
from shared.errors import Problem
from shared.rpc import Rpc
from shared.rpc.callers import OPERATOR
from shared.rpc.credentials import Signer
from shared.settings import given

NO_ANSWER = (FleetError, Problem, httpx.HTTPError, msgspec.DecodeError)
"""What a question to a service may end with; each says why."""


@asynccontextmanager
async def asking(who: str, at: Layout, *, person: str | None = None) -> AsyncIterator[Rpc]:
    """Asks in the name of the operator; the questions raise `NO_ANSWER`.

    What changes something is audited by the service that is asked; with a `person`, every call is, as theirs.
    """
    signer = Signer(lambda: operator_key(at), person=person)
    tls = operator_files() if "https://" in at.peers else None
    rpc = Rpc(
        who,
        timeout_s=10.0,
        peers=at.peers,
        tls=tls,
        signer=signer,
        breaker_threshold=5,
        breaker_open_s=5.0,
    )
    try:
        yield rpc
    finally:
        await rpc.close()


def operator_key(at: Layout) -> str:
    """The operator's private key: the run's own, or that of SHOP_CALL_KEY. Raises FleetError without one."""
    try:
        if (found := given("SHOP_CALL_KEY")) is not None:
            return found.text
        return (at.secrets / call_keys.private(OPERATOR)).read_text(encoding="utf-8")
    except ValueError as error:
        raise FleetError(str(error)) from error
    except FileNotFoundError as error:
        raise FleetError(
            f"there is no operator's key in {at.secrets}: ./just up makes one;"
            " for a shop that runs elsewhere, SHOP_CALL_KEY_FILE says where it is"
        ) from error


def this_person() -> str:
    """Who gives the command, as the system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process without a name
        return "nobody in particular"
