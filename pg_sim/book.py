"""Everything the simulated PG knows, and the rules by which it changes; a journal lets it outlive a kill."""

import heapq
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from pg_sim.before import ChargeOfBefore
from pg_sim.cards import GOOD, Manner, OverallManner, manner_of
from pg_sim.journal import Journal
from pg_sim.notices import Notice, new_notice, notices_of
from pg_sim.payments import Cancellation, Payment, Status
from pg_sim.refusals import Refusal, Refused
from pg_sim.settings import SimulatorSettings

ANSWERS_KEPT = timedelta(days=15)
OWN_REASON = "Cancelled by the payment gateway"


class Once(Struct, frozen=True):
    """A request that is to be done once: its idempotency key counts only for what it was sent to."""

    target: str
    key: str


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first answer to a request; without a refusal it is the payment as it was then."""

    once: Once
    at: datetime
    refusal: Refusal | None = None


class Transaction(Struct, frozen=True, kw_only=True):
    """A charge or a cancellation, each by itself; both have a positive amount, the status says which."""

    key: str
    payment_key: str
    order_id: str
    status: Status
    amount: int
    at: datetime


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the journal: one change in whole, so that a kill leaves all of it or nothing.

    `notices` and `answer` are about the `payment` of their line; a notice that is known is sent again.
    """

    payment: Payment | None = None
    notices: tuple[Notice, ...] = ()
    answer: Answer | None = None
    settled_notice: str = ""
    """A notice that was taken or given up."""
    overall: OverallManner | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class Book:
    """All payments, the first answers, the notices on their way. With a journal, it starts as it ended."""

    def __init__(
        self,
        settings: SimulatorSettings,
        clock: Callable[[], datetime] = _now,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._payments: dict[str, Payment] = {}
        self._key_of_order: dict[str, str] = {}
        self._transactions: list[Transaction] = []
        self._place: dict[str, int] = {}
        self._answers: dict[Once, tuple[Answer, Payment | None]] = {}
        self._due: list[tuple[datetime, str]] = []
        self.overall = OverallManner.OFF
        self.notices: dict[str, tuple[Notice, Payment]] = {}
        """Those on their way, each with the payment as it was when it changed."""
        self._unplanned: list[str] = []
        self._journal: Journal[Entry] | None = None
        if settings.pg_journal:
            self._journal = Journal(Path(settings.pg_journal), _read_entry)
            for entry in self._journal.read():
                self._apply(entry)

    # --- looking

    def __len__(self) -> int:
        return len(self._payments)

    def __iter__(self) -> Iterator[Payment]:
        """Every payment that belongs to an order number, newest first."""
        return (payment for payment in reversed(self._payments.values()) if payment.order_id)

    def by_key(self, key: str) -> Payment:
        """The payment with this key. Raises `Refused` (NOT_FOUND_PAYMENT), also before it has a number."""
        payment = self._payments.get(key)
        if payment is None or not payment.order_id:
            raise Refused("NOT_FOUND_PAYMENT")
        return payment

    def by_order(self, order_id: str) -> Payment:
        """The payment of this order number: the charged one, else the latest. Raises `Refused`."""
        key = self._key_of_order.get(order_id)
        if key is None:
            raise Refused("NOT_FOUND_PAYMENT")
        return self._payments[key]

    def answered(self, once: Once) -> Refusal | Payment | None:
        """What the first request of this kind was answered with; None: there was none within 15 days."""
        answer, payment = self._answers.get(once, (None, None))
        if answer is None or answer.at + ANSWERS_KEPT < self._clock():
            return None
        return answer.refusal or payment

    def transactions(
        self, start: datetime, end: datetime, after: str | None, limit: int
    ) -> Iterable[Transaction]:
        """Those from `start` to `end`, oldest first, both to the second and within; `after` is a key.

        Raises `Refused` (INVALID_TRANSACTION_KEY).
        """
        if after is not None and after not in self._place:
            raise Refused("INVALID_TRANSACTION_KEY")
        first = 0 if after is None else self._place[after] + 1
        for place in range(first, len(self._transactions)):
            if limit <= 0:
                return
            transaction = self._transactions[place]
            if start <= transaction.at.replace(microsecond=0) <= end:
                limit -= 1
                yield transaction

    def next_due(self) -> datetime | None:
        """When `pass_time` has something to do; None: nothing waits for a time."""
        return self._due[0][0] if self._due else None

    def unplanned_notices(self) -> list[Notice]:
        """The notices that came or were put off since this was asked last."""
        ids, self._unplanned = self._unplanned, []
        return [self.notices[one][0] for one in ids if one in self.notices]

    # --- what shops and buyers do

    def hand_out(self, card: str = GOOD, order_id: str = "", amount: int = 0) -> Payment:
        """Begin a payment, as the widget does for a buyer. Raises `Refused` for a number that was charged."""
        self._check_unused(order_id)
        key = f"pay_{secrets.token_urlsafe(18)}"
        payment = Payment(key=key, card=card, order_id=order_id, amount=amount, began_at=self._clock())
        return self._save(payment)

    def claim(self, key: str, order_id: str, amount: int) -> Payment:
        """The payment that is about to be charged; one that had no number yet belongs to this one now.

        A key that was never handed out begins here, with the good card. Raises `Refused`.
        """
        self.pass_time()
        payment = self._payments.get(key) or Payment(key=key, began_at=self._clock())
        self._check_open(payment)
        if payment.order_id and (payment.order_id, payment.amount) != (order_id, amount):
            raise Refused("FORBIDDEN_REQUEST")
        self._check_unused(order_id)
        if payment.order_id:
            return payment
        return self._save(msgspec.structs.replace(payment, order_id=order_id, amount=amount))

    def approve(self, key: str, once: Once | None = None) -> Payment:
        """Charge a payment that was claimed. Raises `Refused` once its time is over or its number charged."""
        self.pass_time()
        payment = self._payments[key]
        self._check_open(payment)
        self._check_unused(payment.order_id)
        now = self._clock()
        own = manner_of(payment.card) in (Manner.CANCELS_PART, Manner.CANCELS_WHOLE)
        return self._save(
            msgspec.structs.replace(
                payment,
                status="DONE",
                approved_at=now,
                transaction_key=_transaction_key(),
                cancels_itself_at=now + timedelta(seconds=self._settings.pg_own_cancel_s) if own else None,
            ),
            once,
        )

    def decline(self, key: str, why: Refusal, once: Once | None = None) -> Payment:
        """Let a payment that was claimed come to nothing."""
        self.pass_time()
        payment = self._payments[key]
        self._check_open(payment)
        return self._save(msgspec.structs.replace(payment, status="ABORTED", failure=why), once, why)

    def stumble(self, key: str, why: Refusal, once: Once | None = None) -> Payment:
        """Count a temporary error of a payment; it may be confirmed again."""
        payment = self._payments[key]
        counted = msgspec.structs.replace(payment, temporary_errors=payment.temporary_errors + 1)
        return self._save(counted, once, why)

    def cancel(self, key: str, amount: int | None, reason: str, once: Once | None = None) -> Payment:
        """Give back `amount` won of a charge, or all that is left of it. Raises `Refused`."""
        return self._cancel(self.by_key(key), amount, reason, once)

    def _cancel(self, payment: Payment, amount: int | None, reason: str, once: Once | None) -> Payment:
        if payment.status == "CANCELED":
            raise Refused("ALREADY_CANCELED_PAYMENT")
        if payment.status not in ("DONE", "PARTIAL_CANCELED"):
            raise Refused("NOT_CANCELABLE_PAYMENT")
        amount = payment.balance if amount is None else amount
        if not 0 < amount <= payment.balance:
            raise Refused("NOT_CANCELABLE_AMOUNT")
        cancellation = Cancellation(
            transaction_key=_transaction_key(), amount=amount, reason=reason, canceled_at=self._clock()
        )
        return self._save(
            msgspec.structs.replace(
                payment,
                status="PARTIAL_CANCELED" if amount < payment.balance else "CANCELED",
                cancellations=(*payment.cancellations, cancellation),
            ),
            once,
        )

    def keep_refusal(self, once: Once, why: Refusal) -> None:
        """Note the first answer to a request that changed nothing."""
        self._write(Entry(answer=Answer(once=once, at=self._clock(), refusal=why)))

    # --- what the PG does by itself, and what a person has it do

    def pass_time(self) -> None:
        """End the sessions whose time is over, and cancel what the PG cancels by itself."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            payment = self._payments[heapq.heappop(self._due)[1]]
            if payment.status == "IN_PROGRESS":
                why = Refusal("EXPIRED_PAYMENT", "The payment was not confirmed in time.")
                self._save(msgspec.structs.replace(payment, status="EXPIRED", failure=why))
            elif payment.balance and payment.cancels_itself_at and payment.cancels_itself_at <= now:
                half = manner_of(payment.card) is Manner.CANCELS_PART
                amount = min(max(payment.amount // 2, 1), payment.balance) if half else None
                once_only = msgspec.structs.replace(payment, cancels_itself_at=None)
                self._cancel(once_only, amount, OWN_REASON, None)

    def tell_again(self, key: str) -> Payment:
        """Send a notice of how the payment is now, whatever its card. Raises `Refused`."""
        payment = self.by_key(key)
        self._write(Entry(payment=payment, notices=(new_notice(self._clock()),)))
        return payment

    def behave(self, overall: OverallManner) -> None:
        """Treat everybody so from now on."""
        self._write(Entry(overall=overall))

    def settle_notice(self, notice_id: str, again: Notice | None = None) -> None:
        """A notice was taken or is given up; or it is to be sent again, as `again` says."""
        self._write(Entry(notices=(again,)) if again else Entry(settled_notice=notice_id))

    # --- rules and records

    def _check_open(self, payment: Payment) -> None:
        if payment.status == "EXPIRED":
            raise Refused("NOT_FOUND_PAYMENT_SESSION")
        if payment.status != "IN_PROGRESS":
            raise Refused("ALREADY_PROCESSED_PAYMENT")

    def _check_unused(self, order_id: str) -> None:
        if self._is_charged(order_id):
            raise Refused("DUPLICATED_ORDER_ID")

    def _is_charged(self, order_id: str) -> bool:
        key = self._key_of_order.get(order_id)
        return key is not None and self._payments[key].charged

    def _save(self, payment: Payment, once: Once | None = None, refused: Refusal | None = None) -> Payment:
        now = self._clock()
        known = self._payments.get(payment.key)
        before = (known.status, known.cancellations) if known else None
        told = before != (payment.status, payment.cancellations)
        self._write(
            Entry(
                payment=payment,
                notices=tuple(notices_of(payment, now, self._settings)) if told else (),
                answer=Answer(once=once, at=now, refusal=refused) if once else None,
            )
        )
        return payment

    def _write(self, entry: Entry) -> None:
        if self._journal is not None:
            self._journal.append(entry)
        self._apply(entry)
        self._on_change()

    def _apply(self, entry: Entry) -> None:
        if entry.payment is not None:
            self._take_in(entry.payment)
        for notice in entry.notices:
            payment = entry.payment or self.notices[notice.id][1]
            self.notices[notice.id] = (notice, payment)
            self._unplanned.append(notice.id)
        if entry.answer is not None:
            about = None if entry.answer.refusal else entry.payment
            self._answers[entry.answer.once] = (entry.answer, about)
        self.notices.pop(entry.settled_notice, None)
        self.overall = entry.overall or self.overall

    def _take_in(self, payment: Payment) -> None:
        known = self._payments.get(payment.key)
        self._payments[payment.key] = payment
        if known is None:
            session_ends = payment.began_at + timedelta(seconds=self._settings.pg_session_s)
            heapq.heappush(self._due, (session_ends, payment.key))
        is_new_of_order = bool(payment.order_id) and not (known and known.order_id)
        if payment.charged or (is_new_of_order and not self._is_charged(payment.order_id)):
            self._key_of_order[payment.order_id] = payment.key
        if payment.approved_at and not (known and known.charged):
            self._record(payment, payment.transaction_key, "DONE", payment.amount, payment.approved_at)
            if payment.cancels_itself_at:
                heapq.heappush(self._due, (payment.cancels_itself_at, payment.key))
        left = payment.amount
        for place, one in enumerate(payment.cancellations):
            left -= one.amount
            if known is None or place >= len(known.cancellations):
                status: Status = "PARTIAL_CANCELED" if left else "CANCELED"
                self._record(payment, one.transaction_key, status, one.amount, one.canceled_at)

    def _record(self, payment: Payment, key: str, status: Status, amount: int, at: datetime) -> None:
        self._place[key] = len(self._transactions)
        self._transactions.append(
            Transaction(
                key=key,
                payment_key=payment.key,
                order_id=payment.order_id,
                status=status,
                amount=amount,
                at=at,
            )
        )


_entry = msgspec.json.Decoder(Entry)
_before = msgspec.json.Decoder(ChargeOfBefore)


def _read_entry(line: bytes) -> Entry:
    try:
        return _entry.decode(line)
    except msgspec.ValidationError as error:
        try:
            return Entry(payment=_before.decode(line).as_payment())
        except msgspec.ValidationError:
            raise error from None


def _transaction_key() -> str:
    return f"txn_{secrets.token_hex(12)}"
