"""What must hold of payments and of what they did to points: every entry of the ledger has its cause."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ops.verify.cards import CardBook, Charged, compare, is_long_open
from ops.verify.check import NOTHING, Book, Check, Facts
from ops.verify.source import Source, merged
from ops.verify.tables import ACTS, INTENTS, LEDGER, PAYMENTS, Act, Intent, LedgerEntry, Only, Payment

_PATIENCE = timedelta(minutes=5)
_OPEN = ("NEEDS_ATTENTION", "KEPT")


@dataclass
class PaymentRecords:
    """Everything about the number of a payment; `payment` is None where there is none of that number."""

    id: str
    facts: Facts
    payment: Payment | None
    entries: list[LedgerEntry]
    intent: Intent | None
    acts: list[Act]
    charged: Charged | None
    """What the payment gateway has charged and given back; None where it was not asked."""

    @property
    def resolved(self) -> bool:
        """Whether a person has closed it."""
        return self.payment is not None and self.payment.resolved is not None

    @property
    def what(self) -> str:
        """What it is, in words."""
        order_id = self.payment.order_id if self.payment else None
        return f"payment {self.id}" + (f" of order {order_id}" if order_id else "")


READINGS = (
    PAYMENTS.by("payment_id"),
    LEDGER.by("payment_id", "id"),
    INTENTS.by("payment_id"),
    ACTS.by("subject", "id", Only("action", ("payment.resolved", "payment.refunded"))),
)


def payment_book(cards: CardBook | None) -> Book[PaymentRecords]:
    """The book of payments; with the payment gateway's own list, where there is one to ask."""

    async def pages(
        source: Source, facts: Facts, keys: Collection[Any] | None
    ) -> AsyncIterator[Sequence[tuple[str, PaymentRecords]]]:
        if keys is None:
            facts.attention = facts.kept = NOTHING
        async with source.streams(READINGS, keys) as streams:
            # Asked after our own book was opened: a charge may be there and not here, but not the reverse.
            charged = await cards.read(source, keys) if cards else None
            async for batch in merged(streams, [reading.key for reading in READINGS]):
                page = [_records(key, facts, rows, charged) for key, rows in batch.items()]
                if keys is None:
                    _add_up(facts, page)
                yield [(records.id, records) for records in page]
        # What is left of it nobody here has ever heard of.
        for number, amount in sorted((charged or {}).items()):
            if keys is None or number in keys:
                yield [(number, PaymentRecords(number, facts, None, [], None, [], amount))]

    return Book("payments", PAYMENT_CHECKS + ((_CARDS,) if cards else ()), pages)


def _records(
    key: str, facts: Facts, rows: list[list[Any]], charged: dict[str, Charged] | None
) -> PaymentRecords:
    payments, entries, intents, acts = rows
    own = charged.pop(key, Charged()) if charged is not None else None
    return PaymentRecords(
        key, facts, payments[0] if payments else None, entries, intents[0] if intents else None, acts, own
    )


def _add_up(facts: Facts, page: Sequence[PaymentRecords]) -> None:
    for payment in (records.payment for records in page if records.payment):
        left = (payment.amount or 0) - payment.refunded
        if payment.state == "NEEDS_ATTENTION":
            facts.attention = facts.attention.plus(payment.payment_id, left)
        elif payment.state == "KEPT":
            facts.kept = facts.kept.plus(payment.payment_id, left)


def _entries(records: PaymentRecords) -> Iterator[str]:
    payment = records.payment
    for entry in records.entries:
        what = f"ledger entry {entry.id} ({entry.kind} of {entry.delta}) of user {entry.user_id}"
        if payment is None:
            yield f"{what}: names payment {records.id}, which is unknown"
            continue
        bought = payment.order_id is None
        if entry.user_id != payment.user_id:
            yield f"{what}: is for {records.what} of user {payment.user_id}"
        if entry.order_id != payment.order_id:
            yield f"{what}: is for {records.what}, but names order {entry.order_id}"
        by, kinds = ("card", ("charge", "reversal")) if bought else ("points", ("capture", "refund"))
        if entry.kind not in kinds or payment.method != by:
            yield f"{what}: does not fit {records.what}, by {payment.method}"
        elif entry.grant_id is not None:
            yield f"{what}: names both {records.what} and grant {entry.grant_id}"
        elif (entry.delta > 0) != (entry.kind in ("charge", "refund")) and entry.delta:
            yield f"{what}: has the wrong sign"


def _points(records: PaymentRecords) -> Iterator[str]:
    """What a payment did to points is what its row says."""
    payment = records.payment
    if payment is None or (payment.method != "points" and payment.order_id is not None):
        return
    taken = [-entry.delta for entry in records.entries if entry.kind == "capture"]
    taken += [entry.delta for entry in records.entries if entry.kind == "charge"]
    back = sum(entry.delta for entry in records.entries if entry.kind == "refund")
    back -= sum(entry.delta for entry in records.entries if entry.kind == "reversal")
    amount, bought = payment.amount or 0, payment.order_id is None
    match payment.state:
        case "HELD":
            right = taken == [amount] and back == payment.refunded
        case "RELEASED":
            right = (taken == [amount] and back == amount == payment.refunded) or (
                not taken and not back and not payment.refunded
            )
        case "REJECTED" | "ASKING":
            right = not taken and not back
        case _:
            right = bought and taken in ([], [amount])
    if bought and payment.state in ("RELEASED", "RELEASING", *_OPEN):
        # Points that were spent meanwhile could not be taken back; a person has decided, or has to.
        open_ = records.resolved or payment.state != "RELEASED"
        right = taken in ([], [amount]) and (back <= payment.refunded if open_ else back == sum(taken))
    if not right:
        yield (
            f"{records.what}: is {payment.state} with {amount}, {payment.refunded} of it given back, but its"
            f" ledger entries take {', '.join(map(str, taken)) or 'nothing'} and give back {back}"
        )


def _within(records: PaymentRecords) -> Iterator[str]:
    """What was given back is a part of what was taken, and all of it where the payment is over."""
    payment = records.payment
    if payment is None:
        return
    amount, refunded = payment.amount or 0, payment.refunded
    match payment.state:
        case "RELEASED":
            right = refunded in (0, amount) or (records.resolved and refunded <= amount)
            right = right and 0 <= payment.released <= refunded
        case "HELD":
            right = 0 <= refunded <= amount - bool(amount) and payment.released == 0
        case "ASKING" | "REJECTED":
            right = refunded == 0 == payment.released
        case _:
            right = 0 <= refunded <= amount and 0 <= payment.released <= refunded
    if payment.refunding:
        right = right and payment.state == "HELD" and 0 < payment.refunding <= amount - refunded
    if not right:
        yield (
            f"{records.what}: is {payment.state} with {amount}, but {refunded} given back in all,"
            f" {payment.released} at its release and {payment.refunding} being given back"
        )


def _looked_after(records: PaymentRecords) -> Iterator[str]:
    payment = records.payment
    if payment is None:
        return
    waits = payment.state in ("ASKING", "RELEASING") or payment.refunding > 0
    if waits and payment.ask_due_at is None:
        yield f"{records.what}: is {payment.state}, but nobody is due to ask about it"
    now = records.facts.now
    asked_long = payment.state == "ASKING" and payment.created_at < now - _PATIENCE
    if asked_long or (payment.state in ("ASKING", "RELEASING") and is_long_open(payment, now)):
        yield (
            f"{records.what}: is {payment.state}, made at {payment.created_at}, asked about"
            f" {payment.asks} times, last changed at {payment.changed_at}"
        )


def _decided(records: PaymentRecords) -> Iterator[str]:
    payment = records.payment
    decided = any(act.action == "payment.resolved" for act in records.acts)
    if payment and (payment.state == "KEPT" or records.resolved):
        fitting = {"KEPT": ("kept",), "HELD": ("kept",), "RELEASED": ("returned", "not_charged")}
        if payment.resolved not in fitting.get(payment.state, ()) or not decided:
            yield (
                f"{records.what}: is {payment.state}, closed as {payment.resolved}, but"
                f" {'somebody' if decided else 'nobody'} has decided about it"
            )
    if payment and payment.state == "NEEDS_ATTENTION" and not payment.reason:
        yield f"{records.what}: is NEEDS_ATTENTION, but nobody knows why"
    if payment is None and records.acts:
        yield f"the audit log tells of payment {records.id}, which is unknown"


def _numbers(records: PaymentRecords) -> Iterator[str]:
    """A number that was made before its payment belongs to that payment alone."""
    intent, payment = records.intent, records.payment
    if intent is None:
        return
    what = f"payment number {records.id}"
    if payment is None:
        if intent.used_at is not None:
            yield f"{what}: was used at {intent.used_at}, but there is no such payment"
        return
    if payment.state == "REJECTED" or payment.user_id is None:
        return
    if intent.used_at is None:
        yield f"{what}: is that of a payment, but was never used"
    if intent.user_id != payment.user_id:
        yield f"{what}: was made for user {intent.user_id}, but the payment is of user {payment.user_id}"
    if intent.order_id is not None and intent.order_id != payment.order_id:
        yield f"{what}: was made for order {intent.order_id}, but the payment is of {payment.order_id}"
    if intent.amount is not None and intent.amount != payment.amount:
        yield f"{what}: was made for {intent.amount} won, but the payment is of {payment.amount}"


def _agree_with_cards(records: PaymentRecords) -> Iterator[str]:
    if records.charged is not None:
        yield from compare(records.payment, records.charged, records.id, records.facts.now)


_CARDS = Check("card payments agree with the payment gateway", _agree_with_cards)

PAYMENT_CHECKS = (
    Check("ledger entries have their payments", _entries),
    Check("points taken agree with the payments", _points),
    Check("no more is given back than was paid", _within),
    Check("the outcome of every payment is found out", _looked_after),
    Check("payments are kept only by somebody's decision", _decided),
    Check("payment numbers are used as they were made", _numbers),
)
