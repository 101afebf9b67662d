"""A whole shop to be abused, people who do it, and proof that it did nothing."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from deploy.databases import connect
from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL
from shared.errors import ProblemDetails

Headers = dict[str, str]
Send = Callable[..., ProblemDetails]

# What the platform notes for itself, what failed passwords leave, sign-ins, and what coupon copies by itself.
OTHER_TABLES = (
    *("outbox", "inbox", "tortoise_migrations", "sign_in_failures", "sessions", "known_clients"),
    *("item_prices", "price_readings"),
)


class _Answer(ProblemDetails, frozen=True, forbid_unknown_fields=True):
    """A problem and nothing beside it."""


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


@pytest.fixture(scope="package")
def staff(door: httpx.Client, admin: Headers) -> Callable[[str], Headers]:
    """Headers of somebody with a role, who is signed up for it."""

    def headers(role: str) -> Headers:
        email, password = f"{role}-{uuid4().hex[:8]}@abuse.test", "abuse me if you can"
        account = {"email": email, "name": role, "address": "Seoul", "password": password}
        user_id = door.post("/users", json=account).json()["id"]
        changed = door.put(f"/users/{user_id}/roles", headers=admin, json={"roles": [role]})
        assert changed.is_success, changed.text
        return _signed_in(door, email, password)

    return headers


@pytest.fixture(scope="package")
def paths(door: httpx.Client) -> dict[str, Any]:
    """What the shop says of itself: its paths, and what each may answer."""
    return door.get("/openapi.json").json()["paths"]


@pytest.fixture
def send(door: httpx.Client, shop: Layout, paths: dict[str, Any]) -> Iterator[Send]:
    """Sends requests that must be refused: as problems that say what is wrong, with all books as before.

    `status` is what must be answered, one of several if need be; it must be declared for the operation.
    """
    before = books(shop)

    def refused(method: str, path: str, *status: int, **request: Any) -> ProblemDetails:
        answer = door.request(method, path, **request)
        assert answer.status_code in status, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(answer.status_code) in _declared(paths, method, path)
        problem = msgspec.json.decode(answer.content, type=_Answer)
        assert problem.status == answer.status_code
        assert problem.type.startswith("/problems/")
        assert problem.title
        assert problem.detail
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"
        return problem

    yield refused
    assert books(shop) == before


def books(shop: Layout) -> dict[str, int]:
    """A checksum of every table of every service, the read side aside: it may still be hearing of before."""
    with connect(shop.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema LIKE '%%\\_svc' AND table_schema <> 'query_svc' AND table_name NOT IN %s",
            (OTHER_TABLES,),
        )
        names = [f"`{schema}`.`{table}`" for schema, table in cursor.fetchall()]
        assert len(names) > 15
        cursor.execute(f"CHECKSUM TABLE {', '.join(names)}")
        return dict(cursor.fetchall())


def _declared(paths: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """The answers that the description declares for a request; the most literal path counts."""
    path = path.partition("?")[0]
    fitting = [one for one in paths if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", one), path)]
    assert fitting, path
    return paths[min(fitting, key=lambda one: one.count("{"))][method.lower()]["responses"]


def _signed_in(door: httpx.Client, email: str, password: str) -> Headers:
    answer = door.post("/users/login", json={"email": email, "password": password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
