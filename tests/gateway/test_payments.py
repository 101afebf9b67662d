"""Payments at the door, the payment gateway's webhooks, and an order's life as it is followed there."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway import events, orders
from gateway.waiting import changes
from order_svc.contracts import GetOrder, HistoryEntry, ListOrders, OrderPage, OrderView, PlaceOrder
from payment_svc.contracts import GetPayment, Pay, PaymentView, RefundPayment, TakeNotice
from shared.clock import utc_now
from shared.errors import Conflict, NotFound, RuleBroken, Unauthorized
from shared.ids import new_id
from tests.gateway.fakes import FakeRpc
from tests.gateway.test_orders import ORDER, view

Client = httpx.AsyncClient


def payment(payment_id: UUID, **changes: Any) -> PaymentView:
    """A payment that was made."""
    fields: dict[str, Any] = {
        "id": payment_id,
        "order_id": new_id(),
        "method": "card",
        "amount": 200,
        "status": "CAPTURED",
        "reason": None,
        "details": {},
        "created_at": utc_now(),
        **changes,
    }
    return PaymentView(**fields)


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
    call = rpc.calls[-1]
    assert isinstance(call, Pay)
    assert (call.user_id, call.order_id, call.method) == (2, order_id, "card")
    assert (call.payment_key, call.idempotency_key) == ("pay_1", "once")


async def test_without_a_key_every_payment_is_one_of_its_own(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    rpc.answers[Pay] = lambda call: payment(call.payment_id)
    for _ in range(2):
        await client.post("/payments", json={"order_id": str(new_id()), "method": "points"}, headers=buyer)
    keys = {call.idempotency_key for call in rpc.calls if isinstance(call, Pay)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({}, 400),
        ({"order_id": "x", "method": "points"}, 400),
        ({"order_id": str(new_id())}, 400),
        ({"order_id": str(new_id()), "method": "cash"}, 422),
        ({"order_id": str(new_id()), "method": "card", "payment_key": ""}, 422),
        ({"order_id": str(new_id()), "method": "card", "payment_key": "x" * 201}, 422),
        ({"order_id": str(new_id()), "method": "card", "payment_key": "a b"}, 422),
        ({"order_id": str(new_id()), "method": "card", "payment_key": 1}, 400),
    ],
)
async def test_a_bad_payment_reaches_no_service(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], wish: dict[str, Any], status: int
) -> None:
    response = await client.post("/payments", json=wish, headers=buyer)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert not any(isinstance(call, Pay) for call in rpc.calls)


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


async def test_payments_are_their_payers_and_only_an_admin_gives_them_back(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], admin: dict[str, str]
) -> None:
    rpc.answers[GetPayment] = lambda call: payment(call.payment_id)
    rpc.answers[RefundPayment] = lambda call: payment(call.payment_id, status="REFUNDING")
    payment_id = new_id()
    for headers, owner in ((buyer, 2), (admin, None)):
        assert (await client.get(f"/payments/{payment_id}", headers=headers)).status_code == 200
        assert rpc.calls[-1] == GetPayment(payment_id=payment_id, user_id=owner)
    assert (await client.post(f"/payments/{payment_id}/refund", headers=buyer)).status_code == 403
    assert (await client.post(f"/payments/{payment_id}/refund")).status_code == 401
    assert (await client.post(f"/payments/{payment_id}/refund", headers=admin)).status_code == 202
    assert (await client.get("/payments/x", headers=buyer)).status_code == 404


async def test_a_webhook_is_handed_on_as_it_came(client: Client, rpc: FakeRpc) -> None:
    rpc.answers[TakeNotice] = lambda _: None
    headers = {
        "Content-Type": "application/json",
        "Tosspayments-Webhook-Signature": "v1:AAAA",
        "Tosspayments-Webhook-Transmission-Time": "2026-01-01T00:00:00Z",
    }
    body = '{"eventType": "PAYMENT_STATUS_CHANGED",  "data": {"카드": 1}}'
    response = await client.post("/payments/pg/webhook", content=body.encode(), headers=headers)
    assert response.status_code == 204
    assert rpc.calls[-1] == TakeNotice(
        payload=body, signature="v1:AAAA", transmitted_at="2026-01-01T00:00:00Z"
    )

    def refuse(_: TakeNotice) -> None:
        raise Unauthorized("The signature is not valid.")

    rpc.answers[TakeNotice] = refuse
    assert (await client.post("/payments/pg/webhook", content=body, headers=headers)).status_code == 401
    unsigned = {"Content-Type": "application/json"}
    assert (await client.post("/payments/pg/webhook", content=body, headers=unsigned)).status_code == 400
    assert (await client.post("/payments/pg/webhook", content=b"\xff", headers=headers)).status_code == 400


async def test_an_order_may_be_paid_with_a_card(client: Client, rpc: FakeRpc, buyer: dict[str, str]) -> None:
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id)
    wish = ORDER | {"pay_with": "card", "payment_key": "pay_1"}
    assert (await client.post("/orders", json=wish, headers=buyer)).status_code == 202
    call = rpc.calls[-1]
    assert isinstance(call, PlaceOrder)
    assert (call.pay_with, call.payment_key) == ("card", "pay_1")


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
    assert not orders._is_final(_told(status="COMPLETED", settled=True))
    assert not orders._is_final(_told(status="FAIL"))
    assert orders._is_final(_told(status="FAIL", settled=True))
