"""Payments over HTTP: pay for a completed order, look, give back; and the payment gateway's webhooks."""

from typing import Annotated
from uuid import UUID

from litestar import Response, get, post
from litestar.params import HeaderParameter, JSONBody, PathParameter
from msgspec import Struct

from gateway.api import BODY, also, problems
from gateway.door import ADMIN, SIGNED_IN
from gateway.idempotency import IdempotencyKey, once
from gateway.requests import ShopRequest
from payment_svc.contracts import (
    GetPayment,
    Method,
    Pay,
    PaymentKey,
    PaymentView,
    RefundPayment,
    TakeNotice,
)
from shared.context import traceparent, working_on
from shared.errors import Malformed
from shared.ids import new_id

PAY_S = 15.0
"""A card takes as long as its payment gateway, every try of asking it included."""

PaymentId = Annotated[UUID, PathParameter(description="The payment's id.")]
Signature = Annotated[
    str,
    HeaderParameter(name="Tosspayments-Webhook-Signature", description="`v1:` and a signature in Base64."),
]
TransmittedAt = Annotated[
    str,
    HeaderParameter(name="Tosspayments-Webhook-Transmission-Time", description="When it was sent."),
]


class PayRequest(Struct, frozen=True):
    """What to pay for, and how. `payment_key` is what the payment gateway's widget gave for the card."""

    order_id: UUID
    method: Method
    payment_key: PaymentKey | None = None


class Webhook(Struct, frozen=True, rename="camel"):
    """What the payment gateway tells: that something about a payment has changed."""

    event_type: str


@post(
    "/payments",
    operation_id="pay",
    summary="Pay for an order",
    opt=SIGNED_IN,
    responses=also(202, PaymentView, "Not known yet whether the card was charged; it will be found out.")
    | problems(*BODY, 401, 404, 409),
)
async def pay(
    request: ShopRequest, data: JSONBody[PayRequest], idempotency_key: IdempotencyKey = None
) -> Response[PaymentView]:
    """Pay for a completed order, all of it. 409 unless it is to be paid; 422 where it is declined."""
    call = Pay(
        payment_id=new_id(),
        user_id=request.user.id,
        order_id=data.order_id,
        method=data.method,
        payment_key=data.payment_key,
        idempotency_key=idempotency_key or str(new_id()),
    )
    with working_on(str(data.order_id), traceparent()):
        payment = await request.rpc.call(call, timeout=PAY_S, once=once(request, idempotency_key, data))
    status = 202 if payment.status == "ASKING" else 201
    return Response(payment, status_code=status, headers={"Location": f"/payments/{payment.id}"})


@get(
    "/payments/{payment_id:str}",
    operation_id="get_payment",
    summary="Look at a payment",
    opt=SIGNED_IN,
    responses=problems(400, 401, 404),
)
async def get_payment(request: ShopRequest, payment_id: PaymentId) -> PaymentView:
    """A payment as it is now: your own, or as an admin anybody's."""
    return await request.rpc.call(GetPayment(payment_id=payment_id, user_id=request.user.owner))


@post(
    "/payments/{payment_id:str}/refund",
    operation_id="refund_payment",
    summary="Give a payment back",
    opt=ADMIN,
    status_code=202,
    responses=problems(400, 401, 403, 404, 409, 422),
)
async def refund_payment(
    request: ShopRequest, payment_id: PaymentId, idempotency_key: IdempotencyKey = None
) -> PaymentView:
    """Cancel the payment's order: all that was taken for it is given back, this payment included."""
    key = once(request, idempotency_key, payment_id)
    return await request.rpc.call(RefundPayment(payment_id=payment_id), once=key)


@post(
    "/payments/pg/webhook",
    operation_id="take_webhook",
    summary="A webhook of the payment gateway",
    status_code=204,
    responses=problems(*BODY, 401),
)
async def take_webhook(
    request: ShopRequest, data: JSONBody[Webhook], signature: Signature, transmitted_at: TransmittedAt
) -> None:
    """Signed by the payment gateway. It is only a hint: what it is about is asked anew."""
    try:
        payload = (await request.body()).decode()
    except UnicodeDecodeError:
        raise Malformed("The body is not valid UTF-8.") from None
    await request.rpc.call(TakeNotice(payload=payload, signature=signature, transmitted_at=transmitted_at))


routes = [pay, get_payment, refund_payment, take_webhook]
