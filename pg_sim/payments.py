"""A payment as the simulator keeps it, and as the PG shows it to the shop."""

from datetime import datetime, timedelta, timezone
from typing import Literal

from msgspec import Struct

from pg_sim.cards import GOOD
from pg_sim.refusals import Refusal

# READY and WAITING_FOR_DEPOSIT belong to the PG's words, but no card payment that has a key is in them.
Status = Literal[
    "READY",
    "IN_PROGRESS",
    "WAITING_FOR_DEPOSIT",
    "DONE",
    "CANCELED",
    "PARTIAL_CANCELED",
    "ABORTED",
    "EXPIRED",
]

CURRENCY = "KRW"
METHOD = "카드"
SEOUL = timezone(timedelta(hours=9))


class Cancellation(Struct, frozen=True, kw_only=True):
    """An amount in won that was given back of a charge."""

    transaction_key: str
    amount: int
    reason: str
    canceled_at: datetime


class Payment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One payment from its first moment on; amounts are won."""

    key: str
    card: str = GOOD
    order_id: str = ""
    """The shop's number for it; empty: it belongs to the first number that confirms it."""
    amount: int = 0
    status: Status = "IN_PROGRESS"
    began_at: datetime
    approved_at: datetime | None = None
    transaction_key: str = ""
    """The charge's; each cancellation has its own."""
    cancellations: tuple[Cancellation, ...] = ()
    failure: Refusal | None = None
    temporary_errors: int = 0
    cancels_itself_at: datetime | None = None
    """When the PG is to cancel it by itself, for the cards that it does so with."""

    @property
    def balance(self) -> int:
        """What is left of the amount; of a payment that was never charged: all of it, as the PG has it."""
        return self.amount - sum(cancellation.amount for cancellation in self.cancellations)

    @property
    def charged(self) -> bool:
        """It was charged once, whatever was given back since."""
        return self.approved_at is not None


class ShownCancellation(Struct, frozen=True, kw_only=True, rename="camel"):
    """A cancellation in the PG's JSON."""

    transaction_key: str
    cancel_amount: int
    cancel_reason: str
    canceled_at: str
    refundable_amount: int
    cancel_status: str = "DONE"


class ShownPayment(Struct, frozen=True, kw_only=True, rename="camel"):
    """A payment in the PG's JSON: of `POST confirm` and `cancel`, of look-ups and of notices."""

    version: str = "2022-11-16"
    m_id: str = "sagamart"
    type: str = "NORMAL"
    payment_key: str
    last_transaction_key: str | None
    order_id: str
    status: Status
    currency: str = CURRENCY
    method: str = METHOD
    total_amount: int
    balance_amount: int
    requested_at: str
    approved_at: str | None
    is_partial_cancelable: bool = True
    cancels: tuple[ShownCancellation, ...] | None
    failure: Refusal | None


def shown(payment: Payment) -> ShownPayment:
    """The payment as the shop sees it; without cancellations `cancels` is null, as the PG has it."""
    cancels: list[ShownCancellation] = []
    left = payment.amount
    for cancellation in payment.cancellations:
        left -= cancellation.amount
        cancels.append(
            ShownCancellation(
                transaction_key=cancellation.transaction_key,
                cancel_amount=cancellation.amount,
                cancel_reason=cancellation.reason,
                canceled_at=moment(cancellation.canceled_at),
                refundable_amount=left,
            )
        )
    last = payment.cancellations[-1].transaction_key if payment.cancellations else payment.transaction_key
    return ShownPayment(
        payment_key=payment.key,
        last_transaction_key=last or None,
        order_id=payment.order_id,
        status=payment.status,
        total_amount=payment.amount,
        balance_amount=left,
        requested_at=moment(payment.began_at),
        approved_at=moment(payment.approved_at) if payment.approved_at else None,
        cancels=tuple(cancels) or None,
        failure=payment.failure,
    )


def moment(at: datetime) -> str:
    """A time as the PG writes it: in Seoul, to the second."""
    return at.astimezone(SEOUL).isoformat(timespec="seconds")
