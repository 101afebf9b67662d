"""Payments over HTTP: a number for the widget, pay for an order, look, give back; and what the PG tells."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import MediaType, Response, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Struct, UnsetType

from gateway.door.api import BODY, also, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import FINANCE, OWN, own_or
from payment_svc.contracts import (
    Amount,
    GetPayment,
    Intent,
    MakeIntent,
    Method,
    Pay,
    PaymentKey,
    PaymentView,
    RefundPayment,
    TakeNotice,
)
from shared.context import traceparent, working_on
from shared.errors import FieldError, RuleBroken
from shared.ids import new_id

PAY_S = 15.0
"""A card takes as long as its payment gateway, every try of asking it included."""
MOST_HEADERS = 32
LONGEST_HEADER = 1000
NOBODYS_BUSINESS = {"authorization", "cookie"}
"""Headers of a webhook that are not handed on: they are for doors, not for what stands behind them."""

PaymentId = Annotated[UUID, PathParameter(description="The payment's id.")]


class IntentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is about to be paid: either a completed order, by its `order_id`, or just an `amount` in won."""

    order_id: UUID | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET


class PayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to pay for, and how.

    For a card, `payment_key` is what the payment gateway's widget gave, and `payment_id` the number that it
    was opened with (see `POST /payments/intents`).
    """

    order_id: UUID
    method: Method
    payment_key: PaymentKey | None = None
    payment_id: UUID | None = None


class RefundRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How many won to give back; without `amount` all that is left."""

    amount: Amount | UnsetType = UNSET


ALL_OF_IT = RefundRequest()


def refuse_unless_by_card(
    by: Literal["points", "card"] | None, payment_key: str | None, payment_id: UUID | None
) -> None:
    """Raise `RuleBroken` where a card's key or number comes with a payment that is not made with a card."""
    if by == "card" or (payment_key is None and payment_id is None):
        return
    given = {"payment_key": payment_key, "payment_id": payment_id}
    errors = [
        FieldError(name, "is for payments with a card") for name, value in given.items() if value is not None
    ]
    raise RuleBroken("This is not paid with a card.", errors=errors)


@post(
    "/payments/intents",
    operation_id="make_payment_intent",
    summary="Make the number of a payment",
    opt=OWN,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def make_intent(
    request: ShopRequest, data: JSONBody[IntentRequest], idempotency_key: IdempotencyKey = None
) -> Intent:
    """Make the number to open the payment gateway's widget with, for exactly this amount, until `expires_at`.

    Send it as `payment_id`, with the `payment_key` that the widget returns, in `POST /orders`,
    `POST /payments` or `POST /points/charge`. It can be used once, and by you alone.
    """
    given = [name for name in ("order_id", "amount") if getattr(data, name) is not UNSET]
    if len(given) != 1:
        said = "not both can be given" if given else "one of order_id and amount is needed"
        raise RuleBroken(
            "Say what is about to be paid by exactly one of order_id and amount.",
            errors=[FieldError(given[-1] if given else "order_id", said)],
        )
    call = MakeIntent(
        payment_id=new_id(),
        user_id=request.user.id,
        order_id=data.order_id or None,
        amount=data.amount or None,
    )
    return await request.rpc.call(call, once=once(request, idempotency_key, data))


@post(
    "/payments",
    operation_id="pay",
    summary="Pay for an order",
    opt=OWN,
    responses=also(202, PaymentView, "It is not known yet whether the card was charged; poll the payment.")
    | problems(*BODY, 401, 403, 404, 409),
)
async def pay(
    request: ShopRequest, data: JSONBody[PayRequest], idempotency_key: IdempotencyKey = None
) -> Response[PaymentView]:
    """Pay for a completed order, all of it.

    409 if it cannot be paid now; 422 if it is declined, or if the number or the key cannot be used.
    """
    refuse_unless_by_card(data.method, data.payment_key, data.payment_id)
    call = Pay(
        payment_id=data.payment_id or new_id(),
        user_id=request.user.id,
        order_id=data.order_id,
        method=data.method,
        payment_key=data.payment_key,
        has_intent=data.payment_id is not None,
    )
    with working_on(str(data.order_id), traceparent()):
        payment = await request.rpc.call(call, timeout=PAY_S, once=once(request, idempotency_key, data))
    status = 202 if payment.status == "ASKING" else 201
    return Response(payment, status_code=status, headers={"Location": f"/payments/{payment.id}"})


@get(
    "/payments/{payment_id:str}",
    operation_id="get_payment",
    summary="Look at a payment",
    opt=own_or("finance"),
    responses=problems(400, 401, 403, 404),
)
async def get_payment(request: ShopRequest, payment_id: PaymentId) -> PaymentView:
    """A payment as it is now: your own, or for support anybody's."""
    return await request.rpc.call(GetPayment(payment_id=payment_id, user_id=request.owner))


@post(
    "/payments/{payment_id:str}/refund",
    operation_id="refund_payment",
    summary="Refund a payment",
    opt=FINANCE,
    status_code=202,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def refund_payment(
    request: ShopRequest,
    payment_id: PaymentId,
    data: JSONBody[RefundRequest] = ALL_OF_IT,
    idempotency_key: IdempotencyKey = None,
) -> PaymentView:
    """Refund `amount` won, or (without a body, or without `amount`) all that is left of the payment.

    A partial refund leaves the order as it is. Refunds that add up to the whole amount cancel it.
    422 for more than is left.
    """
    call = RefundPayment(
        refund_id=new_id(), payment_id=payment_id, by=request.user.id, amount=data.amount or None
    )
    return await request.rpc.call(call, timeout=PAY_S, once=once(request, idempotency_key, payment_id, data))


@post(
    "/payments/pg/webhook",
    operation_id="take_webhook",
    summary="A webhook of the payment gateway",
    media_type=MediaType.TEXT,
    status_code=200,
    responses=problems(400),
)
async def take_webhook(request: ShopRequest) -> Response[str]:
    """Take whatever the payment gateway sends, of any content type, and answer 200 whatever it says.

    It is only a hint: its content is not trusted, the payment gateway is asked. 413 above 1 MiB.
    """
    body = await request.body_as_it_came()
    call = TakeNotice(headers=_handed_on(request), body=body.decode(errors="replace"))
    await request.rpc.call(call)
    return Response("", media_type=MediaType.TEXT)


def _handed_on(request: ShopRequest) -> dict[str, str]:
    """The headers that whoever reads the notice may want: so many at most, and none that is too long."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        fits = len(name) <= LONGEST_HEADER and len(value) <= LONGEST_HEADER
        if fits and name not in NOBODYS_BUSINESS and len(headers) < MOST_HEADERS:
            headers.setdefault(name, value)
    return headers


routes = [make_intent, pay, get_payment, refund_payment, take_webhook]
