"""Orders over HTTP: place one (and wait for its end), look, list, cancel, follow what happens to one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from litestar import Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.door.api import BODY, PageSize, also, parse_moment, problems
from gateway.door.etags import IfNoneMatch, names
from gateway.door.fast_path import Answer, short_way
from gateway.door.guards import SIGNED_IN, at_the_door
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.sse import News, event_stream, follow, stream_answer
from gateway.door.strict import decode
from gateway.door.waiting import Watch, wait_seconds
from gateway.shop.events import OrderCompleted, changes, settlements
from gateway.shop.payments import refuse_unless_by_card
from order_svc.contracts import (
    CancelOrder,
    GetOrder,
    LineRequest,
    ListOrders,
    OrderPage,
    OrderStatus,
    OrderView,
    PayWith,
    PlaceOrder,
)
from payment_svc.contracts import BringKey, PaymentKey
from shared.context import traceparent, working_on
from shared.database.idempotency import Once
from shared.errors import Unavailable
from shared.ids import new_id

OrderId = Annotated[UUID, PathParameter(description="The order's id.")]
AfterOrder = Annotated[
    UUID | None, QueryParameter(description="Continue after this order: the `next` of a page.")
]
WantedStatus = Annotated[OrderStatus | None, QueryParameter(description="Only orders that stand so.")]
Since = Annotated[
    str | None, QueryParameter(name="from", description="Placed at this time or later (ISO 8601).")
]
Until = Annotated[str | None, QueryParameter(name="to", description="Placed before this time (ISO 8601).")]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        pattern=r"^[0-9]{1,9}$",
        description="Go on after this number, the last that you have seen; without it: from the beginning.",
    ),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer", description="`wait=N`: answer once it is settled, or after N (at most 20) s."
    ),
]


class OrderRequest(Struct, frozen=True):
    """What a buyer orders. A line with coupons needs its `discounted_price`.

    Without `pay_with` it is paid later. For a card, `payment_key` is what the payment gateway's widget gave,
    and `payment_id` the number that it was opened with (see `POST /payments/intents`).
    """

    lines: Annotated[list[LineRequest], Meta(min_length=1, max_length=2000)]
    pay_with: PayWith | None = None
    payment_key: PaymentKey | None = None
    payment_id: UUID | None = None


class OrderChange(Struct, frozen=True):
    """Something that happened to an order, and its status then; nothing follows on a `final` one."""

    at: datetime
    what: str
    participant: str | None
    status: str
    details: dict[str, Any] | None
    final: bool


async def place_at_once(request: ShopRequest) -> Answer:
    """What `place_order` does, for an order without an idempotency key."""
    await at_the_door(request)
    data = decode(await request.body(), OrderRequest)
    order = await _accept(request, data, None, request.headers.getall("prefer", []))
    return _status(order), {b"location": _location(order).encode()}, order


@post(
    "/orders",
    operation_id="place_order",
    middleware=[short_way(place_at_once, unless=frozenset({b"idempotency-key"}))],
    summary="Place an order",
    opt=SIGNED_IN,
    responses=also(202, OrderView, "The order as it is; it is not settled yet.") | problems(*BODY, 401, 409),
    response_description="The order, settled, however it ended.",
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
    """Accept an order: 202 with the order as it is, or 201 once it is settled, for which `Prefer` waits.

    A number or a key that cannot be used does not refuse the order: it is placed and fails as
    `card_declined`, its details saying why. With a `payment_key` it is 503 while payments are away.
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
            lines=data.lines,
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
        order = await request.rpc.call(call, once=key)
        if order.id == call.order_id:
            return await _when_settled(request, order, settled, wait)
    with settlements.watch(order.id) as settled:  # the idempotency key named an earlier order
        return await _when_settled(request, order, settled, wait)


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


@get(
    "/orders",
    operation_id="list_orders",
    summary="List orders",
    opt=SIGNED_IN,
    responses=problems(400, 401),
)
async def list_orders(
    request: ShopRequest,
    limit: PageSize = 20,
    after: AfterOrder = None,
    status: WantedStatus = None,
    since: Since = None,
    until: Until = None,
) -> OrderPage:
    """Your own orders, newest first; an admin sees everybody's."""
    call = ListOrders(
        buyer_id=request.user.owner,
        status=status,
        since=parse_moment("from", since),
        until=parse_moment("to", until),
        limit=limit,
        after=after,
    )
    return await request.rpc.call(call)


@get(
    "/orders/{order_id:str}",
    operation_id="get_order",
    summary="Look at an order",
    opt=SIGNED_IN,
    responses={304: ResponseSpec(None, generate_examples=False, description="It has not changed.")}
    | problems(400, 401, 404),
    response_headers=[
        ResponseHeader(name="ETag", value="", documentation_only=True, description="Its version, quoted.")
    ],
)
async def get_order(
    request: ShopRequest, order_id: OrderId, if_none_match: IfNoneMatch = None
) -> Response[OrderView]:
    """An order with its participants and history: your own, or as an admin anybody's.

    Send its `ETag` as `If-None-Match`, and as long as nothing has happened to it the answer is an empty 304.
    """
    order = await request.rpc.call(GetOrder(order_id=order_id, buyer_id=request.user.owner))
    tag = f'"{order.version}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if names(if_none_match, tag):
        return Response(cast(OrderView, None), status_code=304, headers=headers)
    return Response(order, headers=headers)


@get(
    "/orders/{order_id:str}/events",
    operation_id="follow_order",
    summary="An order's changes as they come",
    opt=SIGNED_IN,
    responses=stream_answer("Server-sent events: each change under its number, named for what it is.")
    | {204: ResponseSpec(None, generate_examples=False, description="Nothing more will happen to it.")}
    | problems(400, 401, 404),
)
async def follow_order(
    request: ShopRequest, order_id: OrderId, last_event_id: LastEventId = None
) -> Stream | Response[None]:
    """What happened to the order and what happens from now on, as server-sent events.

    The stream ends with the order; come back with `Last-Event-ID` after a break and you miss nothing.
    """
    call = GetOrder(order_id=order_id, buyer_id=request.user.owner)
    order = await request.rpc.call(call)
    if _is_final(order) and last_event_id and int(last_event_id) >= len(order.history):
        return Response(None, status_code=204)

    async def read(after: str | None) -> Sequence[News]:
        return _changes(await request.rpc.call(call), int(after or 0))

    news = follow(read, changes.watch(order_id), last_event_id, look_again_s=request.settings.settle_poll_s)
    return event_stream(request, _until_final(news), since=last_event_id)


async def _until_final(news: AsyncGenerator[News, None]) -> AsyncGenerator[News, None]:
    try:
        async for one in news:
            yield one
            if one.data.final:
                return
    finally:
        await news.aclose()


def _changes(order: OrderView, after: int) -> list[News]:
    """The changes after a number: an order's history only grows, so its entries are counted."""
    return [
        News(
            str(number),
            entry.what,
            OrderChange(
                at=entry.at,
                what=entry.what,
                participant=entry.participant,
                status=entry.status,
                details=entry.details,
                final=_is_final(order) and number == len(order.history),
            ),
        )
        for number, entry in enumerate(order.history, start=1)
        if number > after
    ]


def _is_final(order: OrderView) -> bool:
    """Whether nothing happens any more; a completed order may still be paid or cancelled."""
    return order.settled and order.status != "COMPLETED"


@post(
    "/orders/{order_id:str}/cancel",
    operation_id="cancel_order",
    summary="Cancel an order",
    opt=SIGNED_IN,
    status_code=202,
    responses=problems(400, 401, 404, 409, 422),
)
async def cancel_order(
    request: ShopRequest, order_id: OrderId, idempotency_key: IdempotencyKey = None
) -> OrderView:
    """Cancel an order: your own, or as an admin anybody's. Once more changes nothing."""
    user = request.user
    by = "admin" if user.is_admin else "buyer"
    call = CancelOrder(order_id=order_id, by=by, buyer_id=user.owner)
    with working_on(str(order_id), traceparent()):
        return await request.rpc.call(call, once=once(request, idempotency_key, order_id))


routes = [place_order, list_orders, get_order, follow_order, cancel_order]
