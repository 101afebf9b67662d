"""What the payment service publishes and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Call, Event

UserNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
LedgerNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=255)]
LedgerKind = Literal["opening", "charge", "capture", "refund"]
Method = Literal["points", "card"]
PaymentStatus = Literal["ASKING", "CAPTURED", "DECLINED", "REFUNDING", "REFUNDED"]
PaymentKey = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
"""What the widget of the payment gateway (PG) gave the buyer: names a card without being one."""


class PaymentCaptured(Event, name="payment.captured", subject="order_id"):
    """The order's amount was taken from its buyer."""

    order_id: UUID
    payment_id: UUID
    amount: int


class PaymentDeclined(Event, name="payment.declined", subject="order_id"):
    """Nothing was taken; `reason` is `insufficient_points` (details: asked, balance), `card_declined`, or
    `released` where the order had been given up already."""

    order_id: UUID
    payment_id: UUID
    reason: str
    details: dict[str, Any]


class PaymentRefunded(Event, name="payment.refunded", subject="order_id"):
    """Whatever this payment took has been given back; sent as well where it had taken nothing.

    `amount` is what `user_id` has got back, 0 where there was nothing.
    """

    order_id: UUID
    payment_id: UUID
    user_id: int | None
    amount: int


class Balance(Struct, frozen=True, kw_only=True):
    """The points of an account."""

    balance: int


class Charged(Struct, frozen=True, kw_only=True):
    """A charge that was made: `balance` is the balance right after it."""

    balance: int
    amount: int


class LedgerEntry(Struct, frozen=True, kw_only=True):
    """One change of an account: by how much, the balance after it, and why."""

    id: int
    at: datetime
    kind: LedgerKind
    delta: int
    balance: int
    order_id: UUID | None
    payment_id: UUID | None


class LedgerPage(Struct, frozen=True, kw_only=True):
    """A page of an account's ledger, newest first; `next` continues after its last entry."""

    items: list[LedgerEntry]
    next: int | None


class OpenAccount(Call[Balance], name="payment.open_account", idempotent=True):
    """Open a user's point account. Idempotent by `user_id`; an open account answers its balance.

    Raises `Conflict` when the user's registration has failed meanwhile: the account stays closed for good.
    """

    user_id: UserNumber


class GetBalance(Call[Balance], name="payment.balance", idempotent=True):
    """The points that a user has now. Raises `NotFound`."""

    user_id: UserNumber


class Charge(Call[Charged], name="payment.charge", idempotent=True):
    """Add points to an account. Idempotent by the user's `idempotency_key`: the first answer comes again.

    Raises `RuleBroken` for an amount or a balance outside the limits and for a key that was used with another
    amount, `NotFound` where there is no account.
    """

    user_id: UserNumber
    amount: int
    idempotency_key: IdempotencyKey


class GetHistory(Call[LedgerPage], name="payment.history", idempotent=True):
    """An account's ledger, newest first, after (that is, older than) the entry `after`. Raises `NotFound`."""

    user_id: UserNumber
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: LedgerNumber | None = None


class PaymentView(Struct, frozen=True, kw_only=True):
    """A payment as its payer sees it.

    ASKING: the PG has not said yet whether the card was charged; it will be found out. REFUNDING: it is being
    given back. A declined payment has taken nothing, for its `reason`.
    """

    id: UUID
    order_id: UUID
    method: Method
    amount: int
    status: PaymentStatus
    reason: str | None
    details: dict[str, Any]
    created_at: datetime | None


class Pay(Call[PaymentView], name="payment.pay", idempotent=True):
    """Pay for a completed order. Idempotent by the payer's `idempotency_key`: the same payment is answered.

    Raises what `order.payment_due` raises, `Conflict` while another payment of the order may still count, and
    `RuleBroken` for a key that was used for another wish.
    """

    payment_id: UUID
    user_id: UserNumber
    order_id: UUID
    method: Method
    idempotency_key: IdempotencyKey
    payment_key: PaymentKey | None = None


class GetPayment(Call[PaymentView], name="payment.get", idempotent=True):
    """A payment; with `user_id` only if it is that user's. Raises `NotFound`."""

    payment_id: UUID
    user_id: UserNumber | None = None


class RefundPayment(Call[PaymentView], name="payment.refund", idempotent=True):
    """Give a payment back by cancelling its order. Raises `NotFound`, `Conflict` where nothing was taken."""

    payment_id: UUID


class TakeNotice(Call[None], name="payment.take_notice", idempotent=True):
    """A webhook of the PG, as it came. Raises `Unauthorized` unless it is genuine and fresh."""

    payload: str
    signature: str
    transmitted_at: str
