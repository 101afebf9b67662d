"""A whole shop to be abused, and people who do it."""

from collections.abc import Iterator

import httpx
import pytest

from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL
from tests.shop.conftest import shop, stage

__all__ = ["shop", "stage"]

Headers = dict[str, str]


@pytest.fixture(scope="package")
def door(shop: Layout) -> Iterator[httpx.Client]:
    """Talks to the shop's gateway."""
    with httpx.Client(base_url=shop.gateway_url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="package")
def admin(door: httpx.Client) -> Headers:
    """Headers of an admin."""
    return _signed_in(door, ADMIN_EMAIL, "sagamart-admin")


@pytest.fixture(scope="package")
def buyer(door: httpx.Client) -> Headers:
    """Headers of a seeded buyer."""
    return _signed_in(door, "buyer1@sagamart.local", "sagamart-buyer")


@pytest.fixture(scope="package")
def stranger(door: httpx.Client) -> Headers:
    """Headers of another buyer, to whom nothing here belongs."""
    return _signed_in(door, "buyer2@sagamart.local", "sagamart-buyer")


def _signed_in(door: httpx.Client, email: str, password: str) -> Headers:
    answer = door.post("/users/login", json={"email": email, "password": password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
