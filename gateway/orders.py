"""Orders over HTTP: place one (and wait for its end), look, list, cancel."""

import asyncio
import hashlib
from contextlib import suppress
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from gateway.api import BODY, IdempotencyKey, PageSize, also, problems
from gateway.door import SIGNED_IN
from gateway.requests import ShopRequest
from gateway.waiting import settlements, wait_seconds
from order_svc.contracts import (
    CancelOrder,
    GetOrder,
    LineRequest,
    ListOrders,
    OrderPage,
    OrderView,
    PlaceOrder,
)
from shared.context import traceparent, working_on
from shared.errors import Unavailable
from shared.ids import new_id

OrderId = Annotated[UUID, PathParameter(description="The order's id.")]
AfterOrder = Annotated[
    UUID | None, QueryParameter(description="Continue after this order: the `next` of a page.")
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer", description="`wait=N`: answer once it is settled, or after N (at most 20) s."
    ),
]


class OrderRequest(Struct, frozen=True):
    """What a buyer orders. A line with coupons needs its `discounted_price`; cards are not taken."""

    lines: Annotated[list[LineRequest], Meta(min_length=1, max_length=2000)]
    pay_with: Literal["points"] | None = None


@post(
    "/orders",
    operation_id="place_order",
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
    """Accept an order: 202 with the order as it is, or 201 once it is settled, for which `Prefer` waits."""
    call = PlaceOrder(
        order_id=new_id(),
        buyer_id=request.user.id,
        lines=data.lines,
        pay_with=data.pay_with,
        idempotency_key=idempotency_key,
        body_hash=_fingerprint(data) if idempotency_key else None,
    )
    wait = wait_seconds(request.headers.getall("prefer")) if prefer else 0
    with working_on(str(call.order_id), traceparent()):
        order = await _place(request, call, wait)
    status = 201 if order.settled else 202
    return Response(order, status_code=status, headers={"Location": f"/orders/{order.id}"})


def _fingerprint(body: OrderRequest) -> str:
    """What stands for a body when its key comes again: the same for the same wishes, however spelled."""
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


async def _place(request: ShopRequest, call: PlaceOrder, wait: int) -> OrderView:
    with settlements.watch(call.order_id) as settled:
        order = await request.rpc.call(call)
        if order.id == call.order_id:
            return await _when_settled(request, order, settled, wait)
    with settlements.watch(order.id) as settled:  # the idempotency key named an earlier order
        return await _when_settled(request, order, settled, wait)


async def _when_settled(
    request: ShopRequest, order: OrderView, settled: asyncio.Event, wait: int
) -> OrderView:
    """The order once it is settled, or as it is after `wait` seconds.

    Its event wakes us; asking now and then is for an event that does not come, as while the broker is away.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + wait
    while not order.settled and (left := end - clock()) > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, request.settings.settle_poll_s)):
                await settled.wait()
        settled.clear()
        with suppress(Unavailable):
            order = await request.rpc.call(GetOrder(order_id=order.id, buyer_id=request.user.id))
    return order


@get(
    "/orders",
    operation_id="list_orders",
    summary="List orders",
    opt=SIGNED_IN,
    responses=problems(400, 401),
)
async def list_orders(request: ShopRequest, limit: PageSize = 20, after: AfterOrder = None) -> OrderPage:
    """Your own orders, newest first; an admin sees everybody's."""
    return await request.rpc.call(ListOrders(buyer_id=request.user.owner, limit=limit, after=after))


@get(
    "/orders/{order_id:str}",
    operation_id="get_order",
    summary="Look at an order",
    opt=SIGNED_IN,
    responses=problems(400, 401, 404),
)
async def get_order(request: ShopRequest, order_id: OrderId) -> OrderView:
    """An order with its participants and history: your own, or as an admin anybody's."""
    return await request.rpc.call(GetOrder(order_id=order_id, buyer_id=request.user.owner))


@post(
    "/orders/{order_id:str}/cancel",
    operation_id="cancel_order",
    summary="Cancel an order",
    opt=SIGNED_IN,
    status_code=202,
    responses=problems(400, 401, 404, 409),
)
async def cancel_order(request: ShopRequest, order_id: OrderId) -> OrderView:
    """Cancel an order: your own, or as an admin anybody's. Once more changes nothing."""
    user = request.user
    by = "admin" if user.is_admin else "buyer"
    with working_on(str(order_id), traceparent()):
        return await request.rpc.call(CancelOrder(order_id=order_id, by=by, buyer_id=user.owner))


routes = [place_order, list_orders, get_order, cancel_order]
