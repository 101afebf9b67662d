"""What the payment service publishes and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Call, Event, KeptOf

UserNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
LedgerNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Amount = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Note = Annotated[str, Meta(min_length=1, max_length=200)]
LedgerKind = Literal["opening", "charge", "capture", "refund", "grant", "reversal"]
"""opening: what an account began with. charge: bought with a card. capture: paid for an order. refund: given
back for an order. grant: given or taken by an admin. reversal: a charge that was cancelled at the PG."""
Method = Literal["points", "card"]
PaymentStatus = Literal[
    "ASKING",
    "CAPTURED",
    "PARTLY_REFUNDED",
    "DECLINED",
    "REFUNDING",
    "REFUNDED",
    "NEEDS_ATTENTION",
    "KEPT",
]
Outcome = Literal["returned", "kept", "not_charged"]
"""How a person closes a payment that the PG and we cannot: the payer has the money back, the shop keeps it,
or there never was a charge."""
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
    """Whatever this payment still held has been given back; sent as well where it had taken nothing.

    `amount` is what `user_id` has got back now, without what was refunded in part before; 0 for nothing.
    """

    order_id: UUID
    payment_id: UUID
    user_id: int | None
    amount: int


class PaymentPartlyRefunded(Event, name="payment.partly_refunded", subject="order_id"):
    """A part of a payment was given back, and its order stands. `refunded` is the sum of all such parts."""

    order_id: UUID
    payment_id: UUID
    user_id: int
    amount: int
    refunded: int
    refunded_at: datetime


class PaymentKept(Event, name="payment.kept", subject="order_id"):
    """The order failed, and a person decided that the shop keeps what was paid for it: `amount` won.

    It answers a release as `payment.refunded` does. `note` is what that person gave as the reason.
    """

    order_id: UUID
    payment_id: UUID
    user_id: int
    amount: int
    note: str


class Balance(Struct, frozen=True, kw_only=True):
    """The points of an account."""

    balance: int


class LedgerEntry(Struct, frozen=True, kw_only=True):
    """One change of an account: by how much, the balance after it, and why."""

    id: int
    at: datetime
    kind: LedgerKind
    delta: int
    balance: int
    order_id: UUID | None
    payment_id: UUID | None
    note: str | None = None


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


class PointsBought(Struct, frozen=True, kw_only=True):
    """Points that were bought with a card, or are about to be.

    `status` is that of the payment: the points are in the `balance` once it is CAPTURED.
    """

    payment_id: UUID
    amount: int
    status: PaymentStatus
    balance: int


class BuyPoints(Call[PointsBought], name="payment.charge", idempotent=True):
    """Charge a card and add what was charged to the user's points, 1 won a point. Idempotent by `payment_id`.

    Raises `RuleBroken` for an amount or a balance outside the limits, a declined card, or (with
    `has_intent`, where `payment_id` comes from `payment.make_intent`) a number that cannot be used for it;
    `NotFound` where there is no account.
    """

    payment_id: UUID
    user_id: UserNumber
    amount: int
    payment_key: PaymentKey | None = None
    has_intent: bool = False


class GrantPoints(Call[Balance], name="payment.grant", idempotent=True):
    """Give a user points, or take some (`delta` below 0), with a reason. Idempotent by `grant_id`.

    `by` is the admin who does it. Raises `NotFound` where there is no account, `RuleBroken` for a balance
    outside the limits.
    """

    grant_id: UUID
    user_id: UserNumber
    delta: Annotated[int, Meta(ge=-(10**12), le=10**12)]
    reason: Note
    by: UserNumber


class GetHistory(Call[LedgerPage], name="payment.history", idempotent=True):
    """An account's ledger, newest first, after (that is, older than) the entry `after`. Raises `NotFound`."""

    user_id: UserNumber
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: LedgerNumber | None = None


class PaymentView(Struct, frozen=True, kw_only=True):
    """A payment as its payer sees it. One without an order bought points.

    ASKING: the PG has not said yet whether the card was charged; it will be found out. REFUNDING: it is being
    given back. A declined payment has taken nothing, for its `reason`. NEEDS_ATTENTION: the PG does not do,
    or contradicts, what has to be done, so a person decides. KEPT: a person decided that it is not given
    back. `refunded` is how many won of `amount` have been given back so far.
    """

    id: UUID
    order_id: UUID | None
    method: Method
    amount: int
    refunded: int
    status: PaymentStatus
    reason: str | None
    details: dict[str, Any]
    created_at: datetime | None


class Intent(Struct, frozen=True, kw_only=True):
    """The number (`payment_id`) to open the PG's widget with, for just `amount` won, until `expires_at`."""

    payment_id: UUID
    amount: int
    expires_at: datetime


class MakeIntent(Call[Intent], name="payment.make_intent", idempotent=True):
    """Make the number of a payment before its widget is opened, for an order to be paid or for an amount.

    Exactly one of `order_id` and `amount` is given. Idempotent by `payment_id`. Raises what
    `order.payment_due` raises, and `RuleBroken` for an amount outside the limits.
    """

    payment_id: UUID
    user_id: UserNumber
    order_id: UUID | None = None
    amount: Amount | None = None


class BringKey(Call[None], name="payment.bring_key", idempotent=True):
    """Keep the key that a buyer brings for the payment of an order about to be placed. Idempotent by number.

    With `is_new` the number was made at this moment, for a key without one. A number that is unknown,
    another's, over or used is not refused here: the order is placed, and payment declines it, saying why.
    """

    payment_id: UUID
    user_id: UserNumber
    payment_key: PaymentKey
    is_new: bool = False


class Pay(Call[PaymentView], name="payment.pay", idempotent=True):
    """Pay for a completed order, all of it. Idempotent by `payment_id`.

    Raises what `order.payment_due` raises, `Conflict` while another payment of the order may still count, and
    `RuleBroken` where it is declined, or (with `has_intent`, where `payment_id` comes from
    `payment.make_intent`) for a number that cannot be used for it.
    """

    payment_id: UUID
    user_id: UserNumber
    order_id: UUID
    method: Method
    payment_key: PaymentKey | None = None
    has_intent: bool = False


class GetPayment(Call[PaymentView], name="payment.get", idempotent=True):
    """A payment; with `user_id` only if it is that user's. Raises `NotFound`.

    With `or_refusal`, raises `RuleBroken` for one that was declined, as `payment.pay` did.
    """

    payment_id: UUID
    user_id: UserNumber | None = None
    or_refusal: bool = False


class GetPurchase(Call[PointsBought], name="payment.get_purchase", idempotent=True):
    """Points that were bought, as it stands now. Raises `NotFound`, or `RuleBroken` where it was declined."""

    payment_id: UUID


class RefundPayment(Call[PaymentView], name="payment.refund", idempotent=True):
    """Give `amount` won of a payment back, or (without) all that is left of it. Idempotent by `refund_id`.

    A part leaves the order as it is; what adds up to the whole cancels the order. `by` is the admin who does
    it. Raises `NotFound`, `Conflict` where nothing is held or another refund is under way, and `RuleBroken`
    for more than is left or where the PG refuses.
    """

    refund_id: UUID
    payment_id: UUID
    by: UserNumber
    amount: Amount | None = None


class TakeNotice(Call[None], name="payment.take_notice", idempotent=True):
    """A webhook of the PG as it came, its headers' names in lower case. It is only a hint to ask the PG."""

    headers: dict[str, str]
    body: str


class Resolution(Struct, frozen=True, kw_only=True):
    """How a person closed a payment that needed attention."""

    outcome: Outcome
    reason: str
    by: int
    at: datetime


class OperatorPayment(Struct, frozen=True, kw_only=True):
    """A payment as operators see it. `details` says what the PG refused or contradicted, where it did."""

    id: UUID
    order_id: UUID | None
    user_id: int
    method: Method
    amount: int
    refunded: int
    status: PaymentStatus
    reason: str | None
    details: dict[str, Any]
    created_at: datetime
    changed_at: datetime
    ask_due_at: datetime | None
    resolution: Resolution | None


class PaymentPage(Struct, frozen=True, kw_only=True):
    """A page of payments, oldest first; `next` continues after its last one."""

    items: list[OperatorPayment]
    next: UUID | None


class ListPayments(Call[PaymentPage], name="payment.list", idempotent=True):
    """Payments of one status, oldest first, after (that is, younger than) the payment `after`."""

    status: PaymentStatus = "NEEDS_ATTENTION"
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: UUID | None = None


class ResolvePayment(Call[PaymentView], name="payment.resolve", idempotent=True):
    """Close a payment that needs attention, as a person (`by`) decides. The same again changes nothing.

    Raises `NotFound`, and `Conflict` for a payment that does not need attention or was closed otherwise.
    """

    payment_id: UUID
    outcome: Outcome
    reason: Note
    by: UserNumber


class AuditEntry(Struct, frozen=True, kw_only=True):
    """What a person of the shop did about money: `action`, to the payment or user whose id is `subject`."""

    id: int
    at: datetime
    by: int
    action: Literal["payment.resolved", "payment.refunded", "points.granted"]
    subject: str
    details: dict[str, Any]


class AuditPage(Struct, frozen=True, kw_only=True):
    """A page of the audit log, newest first; `next` continues after its last entry."""

    items: list[AuditEntry]
    next: int | None


class ListAudit(Call[AuditPage], name="payment.audit", idempotent=True):
    """Who did what about money, newest first, after (that is, older than) the entry `after`.

    All, or by one user, of one kind, to one payment or user, within a time.
    """

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: LedgerNumber | None = None
    by: int | None = None
    action: str | None = None
    payment_id: UUID | None = None
    user_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class ExportUser(Call[KeptOf], name="payment.export_user", idempotent=True):
    """What this service keeps of a user, for the user."""

    user_id: int
