"""Who gets into the console, how they stay in, and whose forms count."""

import asyncio
import re
from typing import Any, cast

import httpx
import pytest

from gateway.console import session as sessions
from order_svc.contracts import CancelOrder, GetOrder
from query_svc.contracts import FindOrders, OrderRows
from query_svc.dead_letters.contracts import AuditEntry, RecordAction
from shared.errors import Unauthorized
from tests.console.conftest import Console
from tests.console.samples import BEGIN, ORDER, order
from tests.gateway.fakes import FakeRpc, Signer, gateway
from user_svc.contracts import Login, Logout, Refresh, Tokens

ORDERS = "/console/orders"
CANCEL = f"/console/orders/{ORDER}/cancel"


@pytest.fixture(autouse=True)
def orders(rpc: FakeRpc) -> None:
    """There are none, but the list of them can be looked at."""
    rpc.answers[FindOrders] = lambda _: OrderRows(items=[], next=None)


@pytest.fixture
def cancelled(rpc: FakeRpc) -> list[Any]:
    """An order that can be cancelled; the calls that do so."""
    calls: list[Any] = []

    def cancel(call: CancelOrder) -> Any:
        calls.append(call)
        return order(status="FAIL", settled=False)

    rpc.answers[GetOrder] = lambda _: order()
    rpc.answers[CancelOrder] = cancel
    rpc.answers[RecordAction] = lambda call: AuditEntry(
        id=1, at=BEGIN, by=call.by, action=call.action, target=call.target, affected=1, reason=None
    )
    return calls


async def test_whoever_is_not_signed_in_is_led_to_the_sign_in_and_back(console: Console) -> None:
    wanted = f"{ORDERS}?q=신발&status=FAIL"
    answer = await console.get(wanted)
    assert answer.status_code == 303
    page = await console.get(answer.headers["location"])
    assert page.status_code == 200
    then = "/console/orders?q=%EC%8B%A0%EB%B0%9C&amp;status=FAIL"
    assert f'name="then" value="{then}"' in page.text
    form = {"email": "admin@shop.test", "password": "good", "then": then.replace("&amp;", "&")}
    answer = await console.post("/console/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, then.replace("&amp;", "&"))
    assert (await console.get(ORDERS)).status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.test/",
        "//evil.test/console/",
        "/console/sign-out",
        "/orders",
        "/console/\nx: y",
        "",
        "/consolex",
    ],
)
async def test_nobody_is_led_elsewhere_by_the_sign_in(console: Console, elsewhere: str) -> None:
    form = {"email": "admin@shop.test", "password": "good", "then": elsewhere}
    answer = await console.post("/console/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")


async def test_a_customer_is_refused_and_not_kept_signed_in(console: Console, rpc: FakeRpc) -> None:
    answer = await console.post("/console/sign-in", data={"email": "buyer@shop.test", "password": "good"})
    assert answer.status_code == 403
    assert "buyer@shop.test has no role with a page" in answer.text
    assert sessions.COOKIE not in console.cookies
    assert any(isinstance(call, Logout) for call in rpc.calls)


async def test_a_wrong_password_is_told_and_the_address_stays(console: Console, rpc: FakeRpc) -> None:
    def refuse(_: Login) -> Tokens:
        raise Unauthorized("The address or the password is wrong.")

    rpc.answers[Login] = refuse
    answer = await console.post("/console/sign-in", data={"email": "<x>@shop.test", "password": "bad"})
    assert answer.status_code == 401
    assert "The address or the password is wrong." in answer.text
    assert 'value="&lt;x&gt;@shop.test"' in answer.text


async def test_somebody_who_is_no_admin_any_more_is_refused(
    console: Console, rpc: FakeRpc, signer: Signer
) -> None:
    held = sessions.begin(
        "x@shop.test", Tokens(access_token=signer.token(2), expires_in=9, refresh_token="r")
    )
    console.cookies.set(sessions.COOKIE, held.cookie(secure=False).value or "", path="/console")
    answer = await console.get(ORDERS)
    assert answer.status_code == 403
    assert "This needs one of the roles admin, support." in answer.text


@pytest.mark.parametrize("cookie", ["", "x", "e30", "A" * 5000, "%00"])
async def test_a_cookie_that_makes_no_sense_is_no_session(console: Console, cookie: str) -> None:
    answer = await console.get(ORDERS, headers={"Cookie": f"{sessions.COOKIE}={cookie}"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in?")


async def test_the_cookie_is_for_this_site_and_out_of_reach_of_scripts(console: Console) -> None:
    answer = await console.post("/console/sign-in", data={"email": "admin@shop.test", "password": "good"})
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/console"):
        assert part in cookie
    assert "Secure" not in cookie


@pytest.mark.parametrize("settings", [{"console_secure_cookie": True}])
async def test_the_cookie_travels_over_https_alone_where_that_is_set(console: Console) -> None:
    answer = await console.post("/console/sign-in", data={"email": "admin@shop.test", "password": "good"})
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_session_outlives_its_access_token_and_pages_side_by_side_renew_it_once(
    console: Console, rpc: FakeRpc, signer: Signer
) -> None:
    rpc.answers[Login] = lambda _: Tokens(
        access_token=signer.token(1, "admin", life=30), expires_in=30, refresh_token="refresh-1"
    )

    async def refresh(call: Refresh) -> Tokens:
        await asyncio.sleep(0)
        assert call.refresh_token == "refresh-1"
        return Tokens(access_token=signer.token(1, "admin"), expires_in=900, refresh_token="refresh-2")

    rpc.answers[Refresh] = refresh
    await console.sign_in()
    pages = await asyncio.gather(*(console.get(ORDERS) for _ in range(5)))
    assert [page.status_code for page in pages] == [200] * 5
    assert sum(isinstance(call, Refresh) for call in rpc.calls) == 1
    held = sessions.read(console.cookies.get(sessions.COOKIE))
    assert held is not None
    assert held.refresh_token == "refresh-2"
    assert (await console.get(ORDERS)).status_code == 200
    assert sum(isinstance(call, Refresh) for call in rpc.calls) == 1


async def test_a_session_that_cannot_be_renewed_is_over(
    console: Console, rpc: FakeRpc, signer: Signer
) -> None:
    rpc.answers[Login] = lambda _: Tokens(
        access_token=signer.token(1, "admin", life=-5), expires_in=0, refresh_token="used"
    )

    def refuse(_: Refresh) -> Tokens:
        raise Unauthorized("This refresh token is not valid.")

    rpc.answers[Refresh] = refuse
    answer = await console.post("/console/sign-in", data={"email": "admin@shop.test", "password": "good"})
    assert answer.status_code == 401  # a token that is over at once lets nobody in
    held = sessions.begin(
        "a", Tokens(access_token=signer.token(1, "admin", life=-5), expires_in=0, refresh_token="used")
    )
    console.cookies.set(sessions.COOKIE, held.cookie(secure=False).value or "", path="/console")
    answer = await console.get(ORDERS)
    assert answer.status_code == 303
    assert "/console/sign-in" in answer.headers["location"]


async def test_signing_out_ends_the_session_here_and_there(operator: Console, rpc: FakeRpc) -> None:
    answer = await operator.act(ORDERS, "/console/sign-out")
    assert answer.status_code == 303
    assert Logout(refresh_token="refresh-1") in rpc.calls
    assert sessions.COOKIE not in operator.cookies
    assert (await operator.get(ORDERS)).status_code == 303


async def test_a_form_of_the_session_acts_once_and_is_audited(
    operator: Console, rpc: FakeRpc, cancelled: list[Any]
) -> None:
    answer = await operator.act(f"/console/orders/{ORDER}", CANCEL)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console/orders/{ORDER}")
    # The order service writes down who did it, in the unit of work that cancels.
    assert cancelled == [CancelOrder(order_id=ORDER, by="admin", buyer_id=None, actor=1)]
    assert not any(isinstance(call, RecordAction) for call in rpc.calls)
    page = await operator.get(f"/console/orders/{ORDER}")
    assert "The order is cancelled." in page.text
    assert "The order is cancelled." not in (await operator.get(f"/console/orders/{ORDER}")).text


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {}),
        ({}, {"form_token": "0" * 64}),
        ({}, {"form_token": "é"}),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Sec-Fetch-Site": "same-site"}, None),
        ({"Origin": "https://evil.test"}, None),
        ({"Origin": "null"}, None),
    ],
)
async def test_a_form_of_another_site_or_session_does_nothing(
    operator: Console, cancelled: list[Any], headers: dict[str, str], fields: dict[str, str] | None
) -> None:
    given = {"form_token": operator.form_token} if fields is None else fields
    answer = await operator.post(CANCEL, data={**given, "request_id": str(ORDER)}, headers=headers)
    assert answer.status_code == 403
    assert cancelled == []


async def test_a_form_from_our_own_origin_counts(operator: Console, cancelled: list[Any]) -> None:
    fields = {"form_token": operator.form_token, "request_id": str(ORDER)}
    for headers in ({"Origin": "http://shop.test"}, {"Sec-Fetch-Site": "same-origin"}):
        assert (await operator.post(CANCEL, data=fields, headers=headers)).status_code == 303
    assert len(cancelled) == 2


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 2000), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"1" * 100_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_a_form_that_cannot_be_read_is_a_page_that_says_so(
    operator: Console, cancelled: list[Any], body: bytes, kind: str, status: int
) -> None:
    answer = await operator.post(CANCEL, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert cancelled == []


async def test_another_process_of_the_gateway_knows_the_session(
    operator: Console, rpc: FakeRpc, signer: Signer
) -> None:
    other = gateway(rpc, signer, settle_poll_s=0.06)
    transport = httpx.ASGITransport(cast(Any, other))
    async with Console(transport=transport, base_url="http://shop.test", cookies=operator.cookies) as browser:
        assert (await browser.get(ORDERS)).status_code == 200


async def test_acting_waits_for_the_audit_log(operator: Console, rpc: FakeRpc) -> None:
    rpc.services = ["order"]
    form = {"form_token": operator.form_token, "request_id": str(ORDER)}
    answer = await operator.post("/console/queues/order/publish", data=form)
    assert answer.status_code == 503
    assert "Try again" not in answer.text
    assert isinstance(rpc.calls[-1], RecordAction)


async def test_each_role_sees_its_own_pages_and_no_others(console: Console, signer: Signer) -> None:
    for roles, first, seen in (
        (["support"], "orders", {"orders", "overdue"}),
        (["finance", "customer"], "payments", {"payments", "sales"}),
        (["support", "finance"], "orders", {"orders", "overdue", "payments", "sales"}),
    ):
        console.carry(signer.token(1, roles=roles))
        assert (await console.get("/console")).headers["location"] == f"/console/{first}"
        refused = await console.get("/console/audit")
        assert refused.status_code == 403
        menu = set(re.findall(r'<li><a href="/console/([a-z-]+)"', refused.text))
        assert menu == seen


async def test_staff_without_a_page_is_not_signed_in(console: Console, rpc: FakeRpc, signer: Signer) -> None:
    token = signer.token(1, roles=["catalogue", "customer"])
    rpc.answers[Login] = lambda _: Tokens(access_token=token, expires_in=900, refresh_token="r")
    answer = await console.post("/console/sign-in", data={"email": "a@b.c", "password": "good"})
    assert answer.status_code == 403
    assert any(isinstance(call, Logout) for call in rpc.calls)
