"""An order's timeline over HTTP: told by the read side, and checked against the order as it is."""

import asyncio
from typing import cast

import msgspec
from litestar import Response, get

from gateway.door.api import problems
from gateway.door.cache import tag_of
from gateway.door.etags import IfNoneMatch, names
from gateway.door.requests import ShopRequest
from gateway.door.roles import own_or
from gateway.shop.orders import OrderId
from gateway.shop.stats import ETAG, NOT_CHANGED
from order_svc.contracts import GetOrder, OrderView
from query_svc.contracts import GetTimeline, Timeline
from shared.errors import NotFound, Unavailable


@get(
    "/orders/{order_id:str}/timeline",
    operation_id="get_order_timeline",
    summary="The timeline of an order",
    opt=own_or("support"),
    responses=NOT_CHANGED | problems(400, 401, 403, 404),
    response_headers=ETAG,
)
async def get_order_timeline(
    request: ShopRequest, order_id: OrderId, if_none_match: IfNoneMatch = None
) -> Response[Timeline]:
    """Every step with service, start, duration, attempts, outcome, reason and the ids of its messages.

    Your own order's, or for support anybody's. It is made of events, which arrive a moment later than the
    order changes: `complete` is false while some are known to be missing. An order of which none has arrived
    yet is a 503, with `Retry-After`.
    """
    order, timeline = await asyncio.gather(
        request.rpc.call(GetOrder(order_id=order_id, buyer_id=request.owner)),
        request.rpc.call(GetTimeline(order_id=order_id, buyer_id=request.owner)),
        return_exceptions=True,
    )
    # Who has to wait for the order service may still see what the read side knows.
    if isinstance(order, BaseException) and not isinstance(order, Unavailable):
        raise order
    if isinstance(timeline, NotFound) and isinstance(order, OrderView):
        raise Unavailable("The events of this order have not arrived yet; try again.", retry_after=1)
    if isinstance(timeline, BaseException):
        raise timeline
    if isinstance(order, OrderView) and _is_behind(timeline, order):
        timeline = msgspec.structs.replace(timeline, complete=False)
    tag = tag_of(timeline)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if names(if_none_match, tag):
        return Response(cast(Timeline, None), status_code=304, headers=headers)
    return Response(timeline, headers=headers)


def _is_behind(timeline: Timeline, order: OrderView) -> bool:
    """Whether the order is further than the events that have arrived tell.

    What is being given back is paid or not by turns, so that counts once the order is settled.
    """
    told = (timeline.status, timeline.settled, timeline.settled and timeline.paid)
    return told != (order.status, order.settled, order.settled and order.paid)


routes = [get_order_timeline]
