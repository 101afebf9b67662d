"""What happens to an order, as server-sent events."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated, Any, assert_never, cast

from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream
from msgspec import Struct

from gateway.door.api import problems
from gateway.door.guards import SIGNED_IN
from gateway.door.requests import ShopRequest
from gateway.door.sse import News, event_stream, follow, stream_answer
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
    opt=SIGNED_IN,
    responses=stream_answer(
        "Server-sent events: each change with its number as id and its kind as event name."
    )
    | {204: ResponseSpec(None, generate_examples=False, description="No more changes will follow.")}
    | problems(400, 401, 404),
)
async def follow_order(
    request: ShopRequest, order_id: OrderId, last_event_id: LastEventId = None
) -> Stream | Response[None]:
    """The changes of the order so far, and new ones as they happen, as server-sent events.

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
    status = cast(OrderStatus, order.status)
    match status:
        case "FAIL" | "CANCEL":
            return order.settled
        case "PENDING" | "COMPLETED":
            return False
        case _:
            assert_never(status)


routes = [follow_order]
