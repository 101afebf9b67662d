"""Placing an order over HTTP, and waiting for how it ends."""

import asyncio
import time
from contextlib import suppress
from typing import Annotated, cast
from uuid import UUID

from litestar import Response, post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.door.api import BODY, also, problems
from gateway.door.fast_path import Answer, fast_path
from gateway.door.guards import at_the_door
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import OWN
from gateway.door.strict import decode
from gateway.door.waiting import Watch, wait_seconds
from gateway.settings import GatewaySettings
from gateway.shop.events import OrderCompleted, settlements, under_way
from gateway.shop.payments import refuse_unless_by_card
from order_svc.contracts import (
    GetOrder,
    LineRequest,
    OrderView,
    PayWith,
    PlaceOrder,
)
from payment_svc.contracts import BringKey, PaymentKey
from shared.context import traceparent, working_on
from shared.errors import OutcomeUnknown, Overloaded, Unavailable
from shared.ids import new_id
from shared.rpc import Once

Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer", description="`wait=N`: answer once it is settled, or after N (at most 20) s."
    ),
]


class OrderLine(LineRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line as a buyer asks for it."""


class OrderRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a buyer orders. A line with coupons needs its `discounted_price`.

    Without `pay_with` it is paid later. For a card, `payment_key` is what the payment gateway's widget gave,
    and `payment_id` the number that it was opened with (see `POST /payments/intents`).
    """

    lines: Annotated[list[OrderLine], Meta(min_length=1, max_length=2000)]
    pay_with: PayWith | None = None
    payment_key: PaymentKey | None = None
    payment_id: UUID | None = None


def is_refused(method: bytes, target: bytes, settings: GatewaySettings) -> bool:
    """Whether a request would place an order while no more are to be placed."""
    return (
        method == b"POST"
        and target == b"/orders"
        and under_way.is_full(time.monotonic(), settings.admit_pending_s)
    )


async def place_at_once(request: ShopRequest) -> Answer:
    """What `place_order` does, for an order without an idempotency key."""
    await at_the_door(request)
    data = decode(await request.body(), OrderRequest)
    order = await _accept(request, data, None, request.headers.getall("prefer", []))
    return _status(order), {b"location": _location(order).encode()}, order


@post(
    "/orders",
    operation_id="place_order",
    middleware=[fast_path(place_at_once, unless=frozenset({b"idempotency-key"}))],
    summary="Place an order",
    opt=OWN,
    responses=also(202, OrderView, "The order as it is now; it is not settled yet.")
    | problems(*BODY, 401, 403, 409),
    response_description="The order, settled, whatever the outcome.",
    response_headers=[
        ResponseHeader(
            name="Location", value="", documentation_only=True, description="Where the order can be read."
        )
    ],
)
async def place_order(
    request: ShopRequest,
    data: JSONBody[OrderRequest],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[OrderView]:
    """Accept an order: 202 with the order as it is, or, with `Prefer: wait=N`, 201 once it is settled.

    An order with a number or a key that cannot be used is accepted, and fails as
    `card_declined`, with the cause in its details. With a `payment_key` it is 503 while payments are down.
    """
    order = await _accept(request, data, idempotency_key, request.headers.getall("prefer") if prefer else [])
    return Response(order, status_code=_status(order), headers={"Location": _location(order)})


def _status(order: OrderView) -> int:
    return 201 if order.settled else 202


def _location(order: OrderView) -> str:
    return f"/orders/{order.id}"


async def _accept(
    request: ShopRequest, data: OrderRequest, idempotency_key: str | None, prefer: list[str]
) -> OrderView:
    wait = wait_seconds(prefer)
    refuse_unless_by_card(data.pay_with, data.payment_key, data.payment_id)
    order_id = new_id()
    with working_on(str(order_id), traceparent()):
        call = PlaceOrder(
            order_id=order_id,
            buyer_id=request.user.id,
            lines=[*data.lines],
            pay_with=data.pay_with,
            payment_id=await _bring_key(request, data) if data.payment_key else data.payment_id,
        )
        return await _place(request, call, once(request, idempotency_key, data), wait)


async def _bring_key(request: ShopRequest, data: OrderRequest) -> UUID:
    """Hand the key to payment before the order is placed, so that no event carries it; returns its number."""
    number = data.payment_id or new_id()
    bring = BringKey(
        payment_id=number,
        user_id=request.user.id,
        payment_key=cast(str, data.payment_key),
        is_new=data.payment_id is None,
    )
    await request.rpc.call(bring)  # not kept under the idempotency key: a repeat has a number of its own
    return number


async def _place(request: ShopRequest, call: PlaceOrder, key: Once | None, wait: int) -> OrderView:
    with settlements.watch(call.order_id) as settled:
        order = await _call(request, call, key)
        if order.id == call.order_id:
            return await _when_settled(request, order, settled, wait)
    with settlements.watch(order.id) as settled:  # the idempotency key named an earlier order
        return await _when_settled(request, order, settled, wait)


async def _call(request: ShopRequest, call: PlaceOrder, key: Once | None) -> OrderView:
    """Place the order, counted among those under way. Raises `Overloaded` while no more are to be placed."""
    now = time.monotonic()
    if under_way.is_full(now, request.settings.admit_pending_s):  # a crowd came in with this request
        raise Overloaded
    if call.pay_with == "card":
        return await request.rpc.call(call, once=key)
    under_way.placed(call.order_id, now)
    try:
        order = await request.rpc.call(call, once=key)
    except OutcomeUnknown:
        raise  # it may have been placed, and is counted until it ends or is passed over
    except BaseException:  # refused, or the buyer has gone: else it would be counted for ever; raised again
        under_way.ended(call.order_id)
        raise
    if order.id != call.order_id:
        under_way.ended(call.order_id)
    return order


async def _when_settled(
    request: ShopRequest, order: OrderView, settled: Watch[OrderCompleted], wait: int
) -> OrderView:
    """The order once it is settled, or as it is after `wait` seconds.

    Its event wakes us, and if it is completed tells all of it; asking now and then is for an event that does
    not come, as while the broker is away.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + wait
    while not order.settled and (left := end - clock()) > 0:
        await settled.within(min(left, request.settings.settle_poll_s))
        if settled.news is not None:
            return completed(order, settled.news)
        settled.clear()
        with suppress(Unavailable):
            order = await request.rpc.call(GetOrder(order_id=order.id, buyer_id=request.user.id))
    return order


def completed(order: OrderView, news: OrderCompleted) -> OrderView:
    """A pending order as it is after the news of its completion."""
    return replace(
        order,
        status="COMPLETED",
        settled=True,
        paid=news.paid,
        lines=[replace(line, name=news.item_names.get(line.item_id)) for line in order.lines],
        participants=news.participants,
        history=news.history,
        version=news.version,
    )


routes = [place_order]
