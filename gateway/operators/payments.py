"""Payments that need a person, over HTTP: found by their status, closed with a reason."""

from typing import Annotated
from uuid import UUID

from litestar import get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from gateway.door.api import BODY, PageSize, Why, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import FINANCE
from gateway.shop.payments import PaymentId
from payment_svc.contracts import (
    ListPayments,
    Outcome,
    PaymentPage,
    PaymentStatus,
    PaymentView,
    ResolvePayment,
)

Status = Annotated[PaymentStatus, QueryParameter(description="Only payments in this status.")]
AfterPayment = Annotated[
    UUID | None, QueryParameter(description="Continue after this payment: the `next` of a page.")
]


class ResolveRequest(Struct, frozen=True, forbid_unknown_fields=True, rename={"outcome": "as"}):
    """What became of the money, as a person has found out or decided, and why.

    `as` is `returned` where the payer has it back, `kept` where the shop keeps it, and `not_charged` where
    there never was a charge.
    """

    outcome: Outcome
    reason: Why


@get(
    "/ops/payments",
    operation_id="list_payments",
    summary="Payments by their status",
    opt=FINANCE,
    responses=problems(400, 401, 403),
)
async def list_payments(
    request: ShopRequest,
    status: Status = "NEEDS_ATTENTION",
    limit: PageSize = 50,
    after: AfterPayment = None,
) -> PaymentPage:
    """Payments of one status, oldest first: those that need attention, or another status.

    What the payment gateway refused or contradicted stands in `details`.
    """
    return await request.rpc.call(ListPayments(status=status, limit=limit, after=after))


@post(
    "/ops/payments/{payment_id:str}/resolve",
    operation_id="resolve_payment",
    summary="Close a payment that needs attention",
    opt=FINANCE,
    status_code=200,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def resolve_payment(
    request: ShopRequest,
    payment_id: PaymentId,
    data: JSONBody[ResolveRequest],
    idempotency_key: IdempotencyKey = None,
) -> PaymentView:
    """Record what became of the money. The payment gateway is not asked again. It is audited.

    The same again changes nothing; 409 for one that was closed otherwise, or that does not need attention.
    """
    call = ResolvePayment(payment_id=payment_id, outcome=data.outcome, reason=data.reason, by=request.user.id)
    return await request.rpc.call(call, once=once(request, idempotency_key, payment_id, data))


routes = [list_payments, resolve_payment]
