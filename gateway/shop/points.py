"""Points over HTTP: the balance, where it came from, buying some, and an admin's gifts."""

from typing import Annotated
from uuid import UUID

from litestar import Response, get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from gateway.door.api import BODY, After, Id, PageSize, Why, also, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import FINANCE, OWN
from gateway.shop.payments import PAY_S
from payment_svc.contracts import (
    Amount,
    Balance,
    BuyPoints,
    GetBalance,
    GetHistory,
    GrantPoints,
    LedgerPage,
    PaymentKey,
    PointsBought,
)
from shared.errors import FieldError, RuleBroken
from shared.ids import new_id


class ChargeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How many points to buy, 1 won each.

    `payment_key` is what the payment gateway's widget gave for the card, and `payment_id` the number that it
    was opened with (see `POST /payments/intents`).
    """

    amount: Amount
    payment_key: PaymentKey | None = None
    payment_id: UUID | None = None


class GrantRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How many points to give, or below 0 to take, and why."""

    delta: Annotated[int, Meta(ge=-(10**12), le=10**12)]
    reason: Why


@get(
    "/points",
    operation_id="get_points",
    summary="Your points",
    opt=OWN,
    responses=problems(400, 401, 403, 404),
)
async def get_points(request: ShopRequest) -> Balance:
    """The points that you have now."""
    return await request.rpc.call(GetBalance(user_id=request.user.id))


@get(
    "/points/history",
    operation_id="list_point_history",
    summary="The history of your points",
    opt=OWN,
    responses=problems(400, 401, 403, 404),
)
async def list_history(request: ShopRequest, limit: PageSize = 20, after: After = None) -> LedgerPage:
    """Every change of your points with the balance after it, newest first."""
    return await request.rpc.call(GetHistory(user_id=request.user.id, limit=limit, after=after))


@post(
    "/points/charge",
    operation_id="charge_points",
    summary="Buy points with a card",
    opt=OWN,
    responses=also(202, PointsBought, "It is not known yet whether the card was charged; poll the payment.")
    | problems(*BODY, 401, 403, 404, 409),
    response_description="Bought; the points are in the balance.",
)
async def charge(
    request: ShopRequest, data: JSONBody[ChargeRequest], idempotency_key: IdempotencyKey = None
) -> Response[PointsBought]:
    """Charge a card, and add as many points as it was charged won. 422 where it is declined.

    The payment can be looked at as any other. One that is cancelled at the payment gateway takes its points
    back.
    """
    call = BuyPoints(
        payment_id=data.payment_id or new_id(),
        user_id=request.user.id,
        amount=data.amount,
        payment_key=data.payment_key,
        has_intent=data.payment_id is not None,
    )
    bought = await request.rpc.call(call, timeout=PAY_S, once=once(request, idempotency_key, data))
    status = 202 if bought.status == "ASKING" else 201
    return Response(bought, status_code=status, headers={"Location": f"/payments/{bought.payment_id}"})


@post(
    "/users/{user_id:str}/points",
    operation_id="grant_points",
    summary="Give a user points, or take some",
    opt=FINANCE,
    responses=problems(*BODY, 401, 403, 404, 409),
    response_description="The points that the user has now.",
)
async def grant(
    request: ShopRequest, user_id: Id, data: JSONBody[GrantRequest], idempotency_key: IdempotencyKey = None
) -> Balance:
    """Give points (`delta` above 0) or take some (below), for a reason, which the user sees as a note."""
    if data.delta == 0:
        raise RuleBroken("This would change nothing.", errors=[FieldError("delta", "must not be 0")])
    call = GrantPoints(
        grant_id=new_id(), user_id=user_id, delta=data.delta, reason=data.reason, by=request.user.id
    )
    return await request.rpc.call(call, once=once(request, idempotency_key, user_id, data))


routes = [get_points, list_history, charge, grant]
