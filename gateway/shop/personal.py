"""What is kept of one: all of it in one document, and the end of it."""

import asyncio
from datetime import datetime

from litestar import Response, delete, get
from litestar.params import JSONBody
from msgspec import Struct

from coupon_svc.contracts import ExportUser as ExportOfCoupon
from gateway.door.api import BODY, problems
from gateway.door.requests import ShopRequest
from gateway.door.roles import SIGNED_IN
from item_svc.contracts import ExportUser as ExportOfItem
from order_svc.contracts import ExportUser as ExportOfOrder
from payment_svc.contracts import ExportUser as ExportOfPayment
from query_svc.contracts import ExportUser as ExportOfQuery
from shared.clock import utc_now
from shared.messages import KeptOf
from user_svc.contracts import EraseMe
from user_svc.contracts import ExportUser as ExportOfUser


class Password(Struct, frozen=True, forbid_unknown_fields=True):
    """Your password, since nothing brings an account back."""

    password: str


class Export(Struct, frozen=True):
    """Everything that is kept of you: rows by service and table.

    `cut` in a service names tables of which there is more than an export holds (1,000 rows, 4 MB a service).
    """

    user_id: int
    made_at: datetime
    services: dict[str, KeptOf]


@get(
    "/users/me/export",
    operation_id="export_me",
    summary="What is kept of you",
    opt=SIGNED_IN,
    responses=problems(400, 401),
)
async def export_me(request: ShopRequest) -> Response[Export]:
    """All that the shop keeps of you, as one JSON document."""
    number = request.user.id
    asked = {
        "user": ExportOfUser(user_id=number),
        "item": ExportOfItem(user_id=number),
        "coupon": ExportOfCoupon(user_id=number),
        "order": ExportOfOrder(user_id=number),
        "payment": ExportOfPayment(user_id=number),
        "query": ExportOfQuery(user_id=number),
    }
    kept = await asyncio.gather(*(request.rpc.call(call) for call in asked.values()))
    export = Export(number, utc_now(), dict(zip(asked, kept, strict=True)))
    headers = {"Content-Disposition": 'attachment; filename="sagamart.json"', "Cache-Control": "no-store"}
    return Response(export, headers=headers)


@delete(
    "/users/me",
    operation_id="erase_me",
    summary="Delete your account",
    opt=SIGNED_IN,
    status_code=204,
    responses=problems(*BODY, 401, 404, 409),
)
async def erase_me(request: ShopRequest, data: JSONBody[Password]) -> None:
    """Delete your account: name, addresses, sessions and cart go; orders and payments stay without a name.

    409 while orders of yours are under way. Points that are left are lost.
    """
    await request.rpc.call(
        EraseMe(user_id=request.user.id, password=data.password, client=request.came_from.address)
    )


routes = [export_me, erase_me]
