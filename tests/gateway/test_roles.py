"""Who may ask where: every route with every role, as the table in docs/roles.md says."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from deploy.services import ROOT
from gateway.access import CONSOLE, access, table
from gateway.console import session as sessions
from gateway.door.roles import ROLES, Allowed, allowed
from tests.gateway.fakes import FakeRpc, Signer, gateway
from user_svc.contracts import Tokens

DOCUMENT = ROOT / "docs" / "roles.md"
ID = UUID(int=7)


def test_the_document_holds_the_table_that_the_routes_make(rpc: FakeRpc, signer: Signer) -> None:
    said = DOCUMENT.read_text(encoding="utf-8")
    assert table(gateway(rpc, signer)) in said, "docs/roles.md: put in the table of gateway.access.table"


@pytest.mark.parametrize("role", [*ROLES, None])
async def test_each_route_lets_in_exactly_who_the_table_says(
    rpc: FakeRpc, signer: Signer, role: str | None
) -> None:
    app = gateway(rpc, signer)
    wrong: list[str] = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),  # type: ignore[arg-type]
        base_url="http://shop.test",
    ) as client:
        for method, path, who in access(app):
            address = re.sub(r"\{[^}]*\}", str(ID), path)
            status = await _ask(client, signer, method, address, role)
            expected = _expected(who, role, in_console=path.startswith(CONSOLE))
            if (status if status in (401, 403) else None) != expected:
                wrong.append(f"{method} {path}: {status}, expected {expected or 'to be let in'}")
    assert wrong == []


async def _ask(client: httpx.AsyncClient, signer: Signer, method: str, path: str, role: str | None) -> int:
    if not path.startswith(CONSOLE):
        headers = signer.bearer(2, role) if role else {}
        return (await client.request(method, path, headers=headers)).status_code
    headers = {"content-type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    form = b""
    if role:
        held = sessions.begin(
            "a@b.c", Tokens(access_token=signer.token(2, role), expires_in=900, refresh_token="r")
        )
        headers["cookie"] = f"{sessions.COOKIE}={held.cookie(secure=False).value}"
        form = f"form_token={held.form_token}".encode() if method == "POST" else b""
    answer = await client.request(method, path, headers=headers, content=form)
    sent_to_sign_in = answer.headers.get("location", "").startswith("/console/sign-in?then")
    return 401 if sent_to_sign_in else answer.status_code


def _expected(who: Allowed | None, role: str | None, *, in_console: bool) -> int | None:
    if who is None:
        return None
    if role is None:
        return 401
    return None if role in who.roles else 403


async def test_several_roles_add_up(client: httpx.AsyncClient, signer: Signer) -> None:
    both = {"Authorization": f"Bearer {signer.token(2, roles=['support', 'finance'])}"}
    for path in ("/users", "/ops/payments"):
        assert (await client.get(path, headers=both)).status_code == 503
    assert (await client.get("/ops/audit", headers=both)).status_code == 403


async def test_a_refusal_names_the_roles_that_would_do(
    client: httpx.AsyncClient, buyer: dict[str, str]
) -> None:
    problem = (await client.get("/ops/payments", headers=buyer)).json()
    assert problem["detail"] == "This needs one of the roles admin, finance."


async def test_a_token_from_before_there_were_several_roles_counts(
    client: httpx.AsyncClient, signer: Signer
) -> None:
    old = signer.token(1, roles=None, role="admin")
    answer = await client.get("/ops/audit", headers={"Authorization": f"Bearer {old}"})
    assert answer.status_code == 503


@pytest.mark.parametrize("roles", [[], ["root"], "admin", [["admin"]], None, ["admin", 1]])
async def test_a_token_of_no_role_that_there_is_does_not_count(
    client: httpx.AsyncClient, signer: Signer, roles: Any
) -> None:
    answer = await client.get(
        "/ops/audit", headers={"Authorization": f"Bearer {signer.token(1, roles=roles)}"}
    )
    assert answer.status_code in (401, 403)


def test_every_route_behind_a_sign_in_documents_its_refusals(rpc: FakeRpc, signer: Signer) -> None:
    app = gateway(rpc, signer)
    silent: list[str] = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            who = allowed(handler.opt)
            told = handler.responses  # of a route that is not in the document there are none
            if who and who.roles != frozenset(ROLES) and told and 403 not in told:
                silent.append(route.path)
    assert silent == []
