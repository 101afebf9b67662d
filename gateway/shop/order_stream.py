"""What happens to an order, as server-sent events."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any, assert_never, cast
from uuid import UUID

from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream
from msgspec import Struct

from gateway.door.api import problems
from gateway.door.guards import STREAM
from gateway.door.requests import ShopRequest
from gateway.door.roles import own_or
from gateway.door.sse import News, came_to, event_stream, stream_answer
from gateway.door.streams import Feeds
from gateway.shop.events import changes
from gateway.shop.orders import OrderId
from order_svc.contracts import (
    GetOrder,
    OrderStatus,
    OrderView,
)

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        pattern=r"^[0-9]{1,9}$",
        description="Continue after this number, the last one received; without it: from the beginning.",
    ),
]


_orders: Feeds[UUID, OrderView] = Feeds()
"""The orders that are followed in this process."""


class OrderChange(Struct, frozen=True):
    """Something that happened to an order, and its status then; nothing follows on a `final` one."""

    at: datetime
    what: str
    participant: str | None
    status: str
    details: dict[str, Any] | None
    final: bool


@get(
    "/orders/{order_id:str}/events",
    operation_id="follow_order",
    summary="Stream an order's changes",
    opt=own_or("support") | STREAM,
    responses=stream_answer(
        "Server-sent events: each change with its number as id and its kind as event name."
    )
    | {204: ResponseSpec(None, generate_examples=False, description="No more changes will follow.")}
    | problems(400, 401, 403, 404),
)
async def follow_order(
    request: ShopRequest, order_id: OrderId, last_event_id: LastEventId = None
) -> Stream | Response[None]:
    """The changes of the order so far, and new ones as they happen, as server-sent events.

    The stream ends with the order; come back with `Last-Event-ID` after a break and you miss nothing.
    """
    last_event_id = came_to(request, last_event_id, longest=9)
    call = GetOrder(order_id=order_id, buyer_id=request.owner)
    order = await request.rpc.call(call)
    if _is_final(order) and last_event_id and int(last_event_id) >= len(order.history):
        return Response(None, status_code=204)

    news = _follow(request, order_id, order, int(last_event_id or 0))
    return event_stream(request, news, whose=str(request.user.id), since=last_event_id)


async def _follow(
    request: ShopRequest, order_id: UUID, order: OrderView, after: int
) -> AsyncGenerator[News, None]:
    """The changes of an order after a number until its last one; read once for all who follow it here."""

    async def read() -> OrderView:
        return await request.rpc.call(GetOrder(order_id=order_id))

    watching, look_again_s = changes.watch(order_id), request.settings.settle_poll_s
    with _orders.follow(order_id, order, read, watching, look_again_s) as feed:
        while True:
            for one in _changes(order, after):
                yield one
                after = int(one.id)
                if one.data.final:
                    return
            order = await feed.changed_from(order)


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
    status = cast(OrderStatus, order.status)
    match status:
        case "FAIL" | "CANCEL":
            return order.settled
        case "PENDING" | "COMPLETED":
            return False
        case _:
            assert_never(status)


routes = [follow_order]
