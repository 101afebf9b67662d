"""Orders over HTTP: look, list, cancel."""

from typing import Annotated, cast
from uuid import UUID

from litestar import Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from gateway.door.api import PageSize, parse_moment, problems
from gateway.door.etags import IfNoneMatch, names
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import own_or
from order_svc.contracts import (
    CancelOrder,
    GetOrder,
    ListOrders,
    OrderPage,
    OrderStatus,
    OrderView,
)
from shared.context import traceparent, working_on

OrderId = Annotated[UUID, PathParameter(description="The order's id.")]
AfterOrder = Annotated[
    UUID | None, QueryParameter(description="Continue after this order: the `next` of a page.")
]
WantedStatus = Annotated[OrderStatus | None, QueryParameter(description="Only orders in this status.")]
Since = Annotated[
    str | None, QueryParameter(name="from", description="Placed at this time or later (ISO 8601).")
]
Until = Annotated[str | None, QueryParameter(name="to", description="Placed before this time (ISO 8601).")]


@get(
    "/orders",
    operation_id="list_orders",
    summary="List orders",
    opt=own_or("support"),
    responses=problems(400, 401, 403),
)
async def list_orders(
    request: ShopRequest,
    limit: PageSize = 20,
    after: AfterOrder = None,
    status: WantedStatus = None,
    since: Since = None,
    until: Until = None,
) -> OrderPage:
    """Your own orders, newest first; support sees everybody's."""
    call = ListOrders(
        buyer_id=request.owner,
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
    opt=own_or("support"),
    responses={304: ResponseSpec(None, generate_examples=False, description="It has not changed.")}
    | problems(400, 401, 403, 404),
    response_headers=[
        ResponseHeader(name="ETag", value="", documentation_only=True, description="Its version, quoted.")
    ],
)
async def get_order(
    request: ShopRequest, order_id: OrderId, if_none_match: IfNoneMatch = None
) -> Response[OrderView]:
    """An order with its participants and history: your own, or for support anybody's.

    Send its `ETag` as `If-None-Match`, and as long as nothing has happened to it the answer is an empty 304.
    """
    order = await request.rpc.call(GetOrder(order_id=order_id, buyer_id=request.owner))
    tag = f'"{order.version}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if names(if_none_match, tag):
        return Response(cast(OrderView, None), status_code=304, headers=headers)
    return Response(order, headers=headers)


@post(
    "/orders/{order_id:str}/cancel",
    operation_id="cancel_order",
    summary="Cancel an order",
    opt=own_or("support"),
    status_code=202,
    responses=problems(400, 401, 403, 404, 409, 422),
)
async def cancel_order(
    request: ShopRequest, order_id: OrderId, idempotency_key: IdempotencyKey = None
) -> OrderView:
    """Cancel an order: your own, or for support anybody's. Repeating this changes nothing."""
    by = "admin" if request.owner is None else "buyer"
    call = CancelOrder(order_id=order_id, by=by, buyer_id=request.owner, actor=request.user.id)
    with working_on(str(order_id), traceparent()):
        return await request.rpc.call(call, once=once(request, idempotency_key, order_id))


routes = [list_orders, get_order, cancel_order]
