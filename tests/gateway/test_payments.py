"""Payments at the door, the payment gateway's webhooks, and an order's life as it is followed there."""

import asyncio
import json
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec
import pytest

from deploy.services import ROOT
from gateway.shop import events, order_stream
from gateway.shop.events import changes
from order_svc.contracts import GetOrder, HistoryEntry, ListOrders, OrderPage, OrderView, PlaceOrder
from payment_svc.contracts import (
    BringKey,
    BuyPoints,
    GetPayment,
    Intent,
    MakeIntent,
    Pay,
    PaymentView,
    PointsBought,
    RefundPayment,
    TakeNotice,
)
from shared.clock import utc_now
from shared.context import correlation_id
from shared.errors import Conflict, NotFound, RuleBroken
from shared.ids import new_id
from shared.messages import Call
from tests.gateway.fakes import FakeRpc
from tests.gateway.test_orders import ORDER, view
from user_svc.contracts import GetKeys

C = TypeVar("C", bound=Call[Any])
Client = httpx.AsyncClient
CARD = {"pay_with": "card"}


def payment(payment_id: UUID, **changes: Any) -> PaymentView:
    """A payment that was made."""
    fields: dict[str, Any] = {
        "id": payment_id,
        "order_id": new_id(),
        "method": "card",
        "amount": 200,
        "refunded": 0,
        "status": "CAPTURED",
        "reason": None,
        "details": {},
        "created_at": utc_now(),
        **changes,
    }
    return PaymentView(**fields)


def bought(call: BuyPoints) -> PointsBought:
    """Points that were bought."""
    return PointsBought(
        payment_id=call.payment_id, amount=call.amount, status="CAPTURED", balance=call.amount
    )


NUMBER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
STRANGE_KEYS = (
    "../../v1/payments/other",
    "a/b?c=d#e",
    "%2e%2e%2f%00",
    "..\\..\\x",
    "a&b=c;d",
    "';DROP/**/TABLE/**/payments;--",
    "{0}%s${x}",
    "x" * 200,
)
"""Keys that mean something to somebody: they are a client's, and are handed on as they came."""
NO_AMOUNTS: list[tuple[Any, int]] = [
    (0, 422),
    (-1, 422),
    (-(2**63), 422),
    (2**63, 422),
    (10**40, 422),
    (True, 400),
    (False, 400),
    ("1", 400),
    (1.0, 400),
    (1.5, 400),
    (None, 400),
    ([], 400),
    ({}, 400),
]


def asked(rpc: FakeRpc, kind: type[C]) -> list[C]:
    """The calls of a kind that were made."""
    return [call for call in rpc.calls if isinstance(call, kind)]


def fields(response: httpx.Response) -> list[str]:
    """The fields that a problem names."""
    assert response.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in response.json()["errors"]]


# Numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [{"order_id": str(NUMBER)}, {"amount": 49_800}], ids=["order", "amount"])
async def test_a_number_is_made_for_an_order_or_an_amount(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], wish: dict[str, Any]
) -> None:
    rpc.answers[MakeIntent] = lambda call: Intent(
        payment_id=call.payment_id, amount=49_800, expires_at=utc_now()
    )
    response = await client.post("/payments/intents", json=wish, headers=buyer)
    assert response.status_code == 201
    [call] = asked(rpc, MakeIntent)
    assert response.json().keys() == {"payment_id", "amount", "expires_at"}
    assert response.json()["payment_id"] == str(call.payment_id)
    assert call.user_id == 2
    assert (call.order_id, call.amount) == ((NUMBER, None) if "order_id" in wish else (None, 49_800))


@pytest.mark.parametrize(
    ("wish", "status", "named"),
    [
        ({}, 422, ["order_id"]),
        ({"order_id": str(NUMBER), "amount": 1}, 422, ["amount"]),
        ({"order_id": None}, 400, ["order_id"]),
        ({"order_id": 7}, 400, ["order_id"]),
        ({"amount": 1, "amout": 1}, 422, ["amout"]),
        *(({"amount": amount}, status, ["amount"]) for amount, status in NO_AMOUNTS),
    ],
)
async def test_a_number_for_nothing_in_particular_is_refused(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], wish: dict[str, Any], status: int, named: list[str]
) -> None:
    response = await client.post("/payments/intents", json=wish, headers=buyer)
    assert (response.status_code, fields(response)) == (status, named)
    assert asked(rpc, MakeIntent) == []


# Paying ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [("CAPTURED", 201), ("ASKING", 202)])
async def test_paying_answers_the_payment_as_it_is(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], status: str, code: int
) -> None:
    rpc.answers[Pay] = lambda call: payment(call.payment_id, status=status)
    order_id = new_id()
    wish = {"order_id": str(order_id), "method": "card", "payment_key": "pay_1"}
    response = await client.post("/payments", json=wish, headers=buyer | {"Idempotency-Key": "once"})

    assert response.status_code == code
    assert response.headers["location"] == f"/payments/{response.json()['id']}"
    [call] = asked(rpc, Pay)
    assert (call.user_id, call.order_id, call.method) == (2, order_id, "card")
    assert (call.payment_key, call.has_intent) == ("pay_1", False)


async def test_a_number_is_paid_under(client: Client, rpc: FakeRpc, buyer: dict[str, str]) -> None:
    rpc.answers[Pay] = lambda call: payment(call.payment_id)
    wish = {"order_id": str(new_id()), "method": "card", "payment_key": "k", "payment_id": str(NUMBER)}
    response = await client.post("/payments", json=wish, headers=buyer)
    assert (response.status_code, response.json()["id"]) == (201, str(NUMBER))
    [call] = asked(rpc, Pay)
    assert (call.payment_id, call.has_intent) == (NUMBER, True)


async def test_without_a_number_every_payment_is_one_of_its_own(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    rpc.answers[Pay] = lambda call: payment(call.payment_id)
    for _ in range(2):
        await client.post("/payments", json={"order_id": str(new_id()), "method": "points"}, headers=buyer)
    calls = asked(rpc, Pay)
    assert len({call.payment_id for call in calls}) == 2
    assert not any(call.has_intent for call in calls)


@pytest.mark.parametrize("key", STRANGE_KEYS)
async def test_a_strange_key_is_handed_on_unharmed(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], key: str
) -> None:
    rpc.answers[Pay] = lambda call: payment(call.payment_id)
    rpc.answers[BringKey] = lambda _: None
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id)
    rpc.answers[BuyPoints] = bought
    wish = {"order_id": str(new_id()), "method": "card", "payment_key": key}
    paid = await client.post("/payments", json=wish, headers=buyer)
    placed = await client.post("/orders", json=ORDER | CARD | {"payment_key": key}, headers=buyer)
    points = await client.post("/points/charge", json={"amount": 1, "payment_key": key}, headers=buyer)
    assert (paid.status_code, placed.status_code, points.status_code) == (201, 202, 201)
    brought = [*asked(rpc, Pay), *asked(rpc, BringKey), *asked(rpc, BuyPoints)]
    assert [call.payment_key for call in brought] == [key] * 3


@pytest.mark.parametrize(
    ("wish", "status", "named"),
    [
        ({}, 400, ["order_id", "method"]),
        ({"order_id": "x", "method": "points"}, 400, ["order_id"]),
        ({"order_id": str(NUMBER)}, 400, ["method"]),
        ({"order_id": str(NUMBER), "method": "cash"}, 422, ["method"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_key": ""}, 422, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_key": "x" * 201}, 422, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_key": "a b"}, 422, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_key": "a\r\nb"}, 422, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_key": "카드"}, 422, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_key": 1}, 400, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_id": "x"}, 400, ["payment_id"]),
        ({"order_id": str(NUMBER), "method": "card", "payment_id": 1}, 400, ["payment_id"]),
        ({"order_id": str(NUMBER), "method": "card", "key": "k"}, 422, ["key"]),
        ({"order_id": str(NUMBER), "method": "points", "payment_key": "k"}, 422, ["payment_key"]),
        ({"order_id": str(NUMBER), "method": "points", "payment_id": str(NUMBER)}, 422, ["payment_id"]),
    ],
)
async def test_a_bad_payment_reaches_no_service(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], wish: dict[str, Any], status: int, named: list[str]
) -> None:
    response = await client.post("/payments", json=wish, headers=buyer)
    assert (response.status_code, fields(response)) == (status, named)
    assert asked(rpc, Pay) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(Conflict("It is paid already."), 409), (RuleBroken("Declined."), 422), (NotFound("No order."), 404)],
)
async def test_a_refused_payment_is_told_as_it_is(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], error: Exception, status: int
) -> None:
    def refuse(_: Pay) -> PaymentView:
        raise error

    rpc.answers[Pay] = refuse
    wish = {"order_id": str(new_id()), "method": "points"}
    response = await client.post("/payments", json=wish, headers=buyer)
    assert (response.status_code, response.json()["detail"]) == (status, str(error))


# Looking and giving back -----------------------------------------------------------------------------------


async def test_payments_are_their_payers(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], admin: dict[str, str]
) -> None:
    rpc.answers[GetPayment] = lambda call: payment(call.payment_id, order_id=None, refunded=50)
    for headers, owner in ((buyer, 2), (admin, None)):
        seen = await client.get(f"/payments/{NUMBER}", headers=headers)
        assert (seen.status_code, seen.json()["order_id"], seen.json()["refunded"]) == (200, None, 50)
        assert rpc.calls[-1] == GetPayment(payment_id=NUMBER, user_id=owner)
    assert (await client.get("/payments/x", headers=buyer)).status_code == 404


@pytest.mark.parametrize(
    ("body", "amount"), [(b"", None), (b"{}", None), (b'{"amount":50}', 50)], ids=["nothing", "all", "part"]
)
async def test_an_admin_gives_all_of_a_payment_back_or_a_part(
    client: Client,
    rpc: FakeRpc,
    buyer: dict[str, str],
    admin: dict[str, str],
    body: bytes,
    amount: int | None,
) -> None:
    rpc.answers[RefundPayment] = lambda call: payment(call.payment_id, status="REFUNDING")
    path = f"/payments/{NUMBER}/refund"
    assert (await client.post(path, content=body, headers=buyer)).status_code == 403
    assert (await client.post(path, content=body)).status_code == 401
    response = await client.post(path, content=body, headers=admin)
    assert (response.status_code, response.json()["status"]) == (202, "REFUNDING")
    [call] = asked(rpc, RefundPayment)
    assert (call.payment_id, call.amount, call.by) == (NUMBER, amount, 1)


async def test_no_body_is_of_no_content_type(client: Client, rpc: FakeRpc, admin: dict[str, str]) -> None:
    rpc.answers[RefundPayment] = lambda call: payment(call.payment_id, status="REFUNDING")
    form = admin | {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post(f"/payments/{NUMBER}/refund", headers=form)).status_code == 202
    refused = await client.post(f"/payments/{NUMBER}/refund", content=b"amount=5", headers=form)
    assert refused.status_code == 415
    assert len(asked(rpc, RefundPayment)) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"amout": 50}, 422),
        ({"amount": 50, "all": True}, 422),
        ("null", 400),
        ("[]", 400),
        ('{"amount":1,"amount":2}', 400),
        ('{"whatever":1,"whatever":2}', 400),
        *(({"amount": amount}, status) for amount, status in NO_AMOUNTS),
    ],
)
async def test_what_may_be_meant_as_a_part_never_gives_all_of_it_back(
    client: Client, rpc: FakeRpc, admin: dict[str, str], body: Any, status: int
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    response = await client.post(f"/payments/{NUMBER}/refund", content=content, headers=admin)
    assert response.status_code == status, response.text
    assert asked(rpc, RefundPayment) == []


# Webhooks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"eventType": "X",  "data": {"카드": 1}}'.encode()),
        ("application/x-www-form-urlencoded", b"a=b"),
        ("text/xml; charset=euc-kr", "<카드/>".encode("euc-kr")),
        ("no/such; charset=thing", b"\xff\xfe\x00"),
        (None, b""),
        (None, b"[" * 100_000),
    ],
    ids=["json", "form", "korean", "bytes", "nothing", "deep"],
)
async def test_any_webhook_is_handed_on_as_it_came(
    client: Client, rpc: FakeRpc, content_type: str | None, body: bytes
) -> None:
    rpc.answers[TakeNotice] = lambda _: None
    headers = {"Content-Type": content_type} if content_type else {}
    response = await client.post("/payments/pg/webhook", content=body, headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    [call] = asked(rpc, TakeNotice)
    assert call.body == body.decode(errors="replace")
    assert call.headers.get("content-type") == content_type


async def test_headers_of_a_webhook_are_handed_on_within_bounds(client: Client, rpc: FakeRpc) -> None:
    rpc.answers[TakeNotice] = lambda _: None
    private = {"Authorization": "Bearer x", "Cookie": "sagamart_console=x"}
    many = {f"X-{number}": "v" for number in range(50)}
    long = {"X-Long": "v" * 1001, "X-" + "n" * 1000: "v", "X-Fits": "v" * 1000}
    headers = {**private, "Some-Signature": "v1:AAAA", **long, **many}
    assert (await client.post("/payments/pg/webhook", content=b"{}", headers=headers)).status_code == 200
    [call] = asked(rpc, TakeNotice)
    assert (call.headers["some-signature"], len(call.headers["x-fits"])) == ("v1:AAAA", 1000)
    assert call.headers.keys().isdisjoint({"authorization", "cookie", "x-long", "x-" + "n" * 1000})
    assert len(call.headers) == 32
    assert all(name == name.lower() for name in call.headers)


async def test_a_webhook_is_refused_only_where_nobody_takes_it_or_it_is_too_large(
    client: Client, rpc: FakeRpc
) -> None:
    away = await client.post("/payments/pg/webhook", content=b"{}")
    assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
    assert int(away.headers["retry-after"]) >= 1
    rpc.answers[TakeNotice] = lambda _: None
    for size, status in ((1024 * 1024, 200), (1024 * 1024 + 1, 413)):
        large = await client.post("/payments/pg/webhook", content=b"x" * size)
        assert large.status_code == status
    assert (await client.get("/payments/pg/webhook")).status_code == 405


async def test_the_gateway_knows_no_payment_gateway_by_name() -> None:
    for path in (ROOT / "gateway").rglob("*.py"):
        assert "toss" not in path.read_text("utf-8").lower(), path


# Orders that bring a key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["short way", "long way"])
@pytest.mark.parametrize("number", [None, NUMBER], ids=["new number", "number made before"])
async def test_a_key_is_brought_before_the_order_is_placed_and_is_no_part_of_it(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], headers: dict[str, str], number: UUID | None
) -> None:
    correlations: list[str | None] = []

    def bring(_: BringKey) -> None:
        correlations.append(correlation_id())

    rpc.answers[BringKey] = bring
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id)
    wish = ORDER | CARD | {"payment_key": "pay_1"} | ({"payment_id": str(number)} if number else {})
    assert (await client.post("/orders", json=wish, headers=buyer | headers)).status_code == 202
    brought, placed = rpc.calls[-2:]
    assert isinstance(brought, BringKey)
    assert isinstance(placed, PlaceOrder)
    assert (brought.user_id, brought.payment_key, brought.is_new) == (2, "pay_1", number is None)
    assert brought.payment_id == placed.payment_id
    assert number in (None, placed.payment_id)
    assert b"pay_1" not in msgspec.json.encode(placed)
    assert correlations == [str(placed.order_id)]


async def test_while_payment_is_away_only_an_order_with_a_key_has_to_wait(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id)
    for wish in ({}, {"pay_with": "points"}, CARD, CARD | {"payment_id": str(NUMBER)}):
        assert (await client.post("/orders", json=ORDER | wish, headers=buyer)).status_code == 202
    assert [call.payment_id for call in asked(rpc, PlaceOrder)] == [None, None, None, NUMBER]
    assert asked(rpc, BringKey) == []
    response = await client.post("/orders", json=ORDER | CARD | {"payment_key": "k"}, headers=buyer)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert len(asked(rpc, PlaceOrder)) == 4


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["short way", "long way"])
@pytest.mark.parametrize("pay_with", [None, "points"])
@pytest.mark.parametrize("given", [{"payment_key": "k"}, {"payment_id": str(NUMBER)}])
async def test_a_key_or_a_number_is_for_cards(
    client: Client,
    rpc: FakeRpc,
    buyer: dict[str, str],
    headers: dict[str, str],
    pay_with: str | None,
    given: dict[str, str],
) -> None:
    wish = ORDER | given | ({"pay_with": pay_with} if pay_with else {})
    response = await client.post("/orders", json=wish, headers=buyer | headers)
    assert (response.status_code, fields(response)) == (422, list(given))
    assert [call for call in rpc.calls if not isinstance(call, GetKeys)] == []


# Orders as they change -------------------------------------------------------------------------------------


async def test_an_order_that_has_not_changed_is_not_sent_again(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    order_id = new_id()
    rpc.answers[GetOrder] = lambda call: view(call.order_id, version=3)
    first = await client.get(f"/orders/{order_id}", headers=buyer)
    assert (first.status_code, first.headers["etag"]) == (200, '"3"')
    for named in ('"3"', 'W/"3"', '"1", "3"', "*"):
        again = await client.get(f"/orders/{order_id}", headers=buyer | {"If-None-Match": named})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", '"3"'), named
    for named in ('"2"', "3", ""):
        again = await client.get(f"/orders/{order_id}", headers=buyer | {"If-None-Match": named})
        assert (again.status_code, again.json()["version"]) == (200, 3), named


async def test_orders_are_asked_for_by_status_and_time(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    rpc.answers[ListOrders] = lambda _: OrderPage(items=[], next=None)
    query = {"status": "FAIL", "from": "2026-01-01", "to": "2026-01-02T12:00:00+09:00"}
    assert (await client.get("/orders", params=query, headers=buyer)).status_code == 200
    call = rpc.calls[-1]
    assert isinstance(call, ListOrders)
    assert call.since is not None
    assert call.until is not None
    assert (call.status, call.since.isoformat()) == ("FAIL", "2026-01-01T00:00:00+00:00")
    assert call.until.timestamp() - call.since.timestamp() == (24 + 3) * 3600
    wrong = ("status=DONE", "status=fail", "from=yesterday", "to=", "from=9999-12-31", "to=0001-01-01")
    for one in wrong:
        response = await client.get(f"/orders?{one}", headers=buyer)
        assert response.status_code == 400, one


# Following an order --------------------------------------------------------------------------------------


def _told(*whats: str, **changes: Any) -> OrderView:
    entries = [
        HistoryEntry(at=utc_now(), what=what, participant=None, status="PENDING", details=None)
        for what in whats
    ]
    return view(new_id(), history=entries, **changes)


async def _lines(client: Client, order_id: UUID, headers: dict[str, str]) -> list[str]:
    """The ids and events of a stream that ends."""
    response = await client.get(f"/orders/{order_id}/events", headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    ids = [line[4:] for line in response.text.splitlines() if line.startswith("id: ")]
    names = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    return [f"{number} {name}" for number, name in zip(ids[-len(names) :], names, strict=True)]


async def test_a_stream_tells_what_happened_and_ends_with_the_order(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    seen = [
        _told("ORDER_CREATED"),
        _told("ORDER_CREATED"),
        _told("ORDER_CREATED", "STOCK_DEDUCTED", status="FAIL"),
        _told("ORDER_CREATED", "STOCK_DEDUCTED", "ORDER_CANCELLED", status="CANCEL", settled=True),
    ]
    rpc.answers[GetOrder] = lambda _: seen.pop(0) if len(seen) > 1 else seen[0]
    told = await asyncio.wait_for(_lines(client, new_id(), buyer), 5)
    assert told == ["1 ORDER_CREATED", "2 STOCK_DEDUCTED", "3 ORDER_CANCELLED"]
    assert changes._waiting == {}


async def test_whoever_comes_back_misses_nothing_and_gets_nothing_twice(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    end = _told("ORDER_CREATED", "STOCK_REJECTED", "ORDER_FAILED", status="FAIL", settled=True)
    rpc.answers[GetOrder] = lambda _: end
    told = await asyncio.wait_for(_lines(client, new_id(), buyer | {"Last-Event-ID": "2"}), 5)
    assert told == ["3 ORDER_FAILED"]
    over = await client.get(f"/orders/{new_id()}/events", headers=buyer | {"Last-Event-ID": "3"})
    assert over.status_code == 204
    bad = await client.get(f"/orders/{new_id()}/events", headers=buyer | {"Last-Event-ID": "x"})
    assert bad.status_code == 400


async def test_only_ones_own_orders_are_followed(client: Client, rpc: FakeRpc, buyer: dict[str, str]) -> None:
    def refuse(call: GetOrder) -> OrderView:
        assert call.buyer_id == 2
        raise NotFound("There is no such order.")

    rpc.answers[GetOrder] = refuse
    assert (await client.get(f"/orders/{new_id()}/events", headers=buyer)).status_code == 404


def test_every_event_of_an_order_wakes_its_streams() -> None:
    order_id = new_id()
    with changes.watch(order_id) as woken:
        for happen in (
            lambda: events.order_settled(events.OrderSettled(order_id=order_id)),
            lambda: events.order_confirmed(events.OrderConfirmed(order_id=order_id)),
            lambda: events.order_failed(events.OrderFailed(order_id=order_id, settled=False)),
        ):
            happen()
            assert woken.is_set()
            woken.clear()


def test_only_what_can_still_change_is_not_final() -> None:
    assert not order_stream._is_final(_told(status="COMPLETED", settled=True))
    assert not order_stream._is_final(_told(status="FAIL"))
    assert order_stream._is_final(_told(status="FAIL", settled=True))
