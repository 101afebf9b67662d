"""Points over HTTP: the balance, where it came from, and adding to it."""

from typing import Annotated

from litestar import get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from gateway.api import BODY, After, PageSize, problems
from gateway.door import SIGNED_IN
from gateway.idempotency import IdempotencyKey, once
from gateway.requests import ShopRequest
from payment_svc.contracts import Balance, Charge, Charged, GetBalance, GetHistory, LedgerPage
from shared.ids import new_id


class ChargeRequest(Struct, frozen=True):
    """How many points to add."""

    amount: Annotated[int, Meta(ge=1, le=2**63 - 1)]


@get(
    "/points",
    operation_id="get_points",
    summary="Your points",
    opt=SIGNED_IN,
    responses=problems(400, 401, 404),
)
async def get_points(request: ShopRequest) -> Balance:
    """The points that you have now."""
    return await request.rpc.call(GetBalance(user_id=request.user.id))


@get(
    "/points/history",
    operation_id="list_point_history",
    summary="Where your points came from and went",
    opt=SIGNED_IN,
    responses=problems(400, 401, 404),
)
async def list_history(request: ShopRequest, limit: PageSize = 20, after: After = None) -> LedgerPage:
    """Every change of your points with the balance after it, newest first."""
    return await request.rpc.call(GetHistory(user_id=request.user.id, limit=limit, after=after))


@post(
    "/points/charge",
    operation_id="charge_points",
    summary="Add points",
    status_code=200,
    opt=SIGNED_IN,
    responses=problems(*BODY, 401, 404, 409),
)
async def charge(
    request: ShopRequest, data: JSONBody[ChargeRequest], idempotency_key: IdempotencyKey = None
) -> Charged:
    """Add points; under one `Idempotency-Key` they are added once."""
    key = idempotency_key or str(new_id())
    call = Charge(user_id=request.user.id, amount=data.amount, idempotency_key=key)
    return await request.rpc.call(call, once=once(request, idempotency_key, data))


routes = [get_points, list_history, charge]
