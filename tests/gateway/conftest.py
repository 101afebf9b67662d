"""A gateway under test, a client for it, and signed-in people."""

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from tests.gateway.fakes import FakeRpc, Signer, gateway


@pytest.fixture
def rpc() -> FakeRpc:
    """What the services answer; empty at first."""
    return FakeRpc()


@pytest.fixture(scope="session")
def signer() -> Signer:
    """Signs tokens that the gateway under test accepts."""
    return Signer()


@pytest.fixture
def settings() -> dict[str, Any]:
    """The gateway's settings; tests override this with what they need."""
    return {"settle_poll_s": 0.05}


@pytest.fixture
async def client(rpc: FakeRpc, signer: Signer, settings: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the gateway over HTTP."""
    transport = httpx.ASGITransport(cast(Any, gateway(rpc, signer, **settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as talking:
        yield talking


@pytest.fixture
def buyer(signer: Signer) -> dict[str, str]:
    """Headers of user 2, a customer."""
    return signer.bearer(2)


@pytest.fixture
def admin(signer: Signer) -> dict[str, str]:
    """Headers of user 1, an admin."""
    return signer.bearer(1, "admin")
