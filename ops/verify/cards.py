"""Our card payments against the payment gateway's (PG's) own list: neither exists alone, to the won."""

from collections.abc import AsyncIterator, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from ops.databases import CannotRead
from ops.verify.source import Source
from ops.verify.tables import Payment
from payment_svc.pgs import Entry, NoAnswer
from shared.clock import aware

CURRENCY = "KRW"
# A PG's clock is not ours, and a payment is written down before the card is charged.
_MARGIN = timedelta(days=1)
# Who asks the PG pauses for half a minute at most, so this is minutes.
MANY_ASKS = 15
_UNASKED = timedelta(seconds=60)
_FIRST = (
    "SELECT MIN(created_at) AS first FROM payments WHERE method = 'card' AND amount > 0"
    " AND (order_id IS NOT NULL OR state <> 'REJECTED')"
)


class Transactions(Protocol):
    """The PG's own list, as its adapter reads it."""

    def transactions(self, since: datetime, until: datetime) -> AsyncIterator[Entry]:
        """Every charge and every cancellation from one moment to another. Raises `NoAnswer`."""
        ...


class Charged(NamedTuple):
    """What the PG has charged for a number and given back of it, in won, and currencies that are not ours."""

    amount: int = 0
    back: int = 0
    strange: str = ""


class CardBook:
    """The PG's list, added up by number."""

    def __init__(self, pg: Transactions) -> None:
        self._pg = pg

    async def read(self, source: Source, keys: Collection[Any] | None) -> dict[str, Charged]:
        """What was charged for each number (or each of some), from our first card payment until now.

        Nothing where nobody has ever paid with a card, even if the PG is away. Numbers that cannot be ours
        are left out: others may be using the same PG. Raises `CannotRead`.
        """
        [row] = await source.ask("payment", _FIRST)
        since = row["first"]
        now = datetime.now(UTC)
        charged: dict[str, Charged] = {}
        try:
            begin = aware(since) if since else now
            async for entry in self._pg.transactions(begin - _MARGIN, now + _MARGIN):
                if _is_ours(entry.number) and (keys is None or entry.number in keys):
                    _add(charged, entry)
        except NoAnswer as silence:
            if since is not None:
                raise CannotRead(
                    f"the payment gateway does not list what it has charged: {silence}"
                ) from None
        return charged


def _is_ours(number: str) -> bool:
    try:
        return str(UUID(number)) == number
    except ValueError:
        return False


def _add(charged: dict[str, Charged], entry: Entry) -> None:
    amount, back, strange = charged.get(entry.number, Charged())
    if entry.currency != CURRENCY:
        strange = entry.currency
    if entry.amount > 0:
        amount += entry.amount
    else:
        back -= entry.amount
    charged[entry.number] = Charged(amount, back, strange)


def is_long_open(payment: Payment, now: datetime) -> bool:
    """Whether the PG was asked about a payment for minutes, or should have been and was not."""
    return payment.asks >= MANY_ASKS or payment.changed_at < now - _UNASKED


def compare(payment: Payment | None, charged: Charged, number: str, now: datetime) -> Iterator[str]:
    """What does not agree, in words. What a person has to decide about, or has decided, is not compared."""
    there = f"the payment gateway has charged {charged.amount} and given back {charged.back}"
    if charged.strange:
        yield f"payment {number}: was charged in {charged.strange} at the payment gateway"
    if payment is None or (payment.method != "card" and charged != Charged()):
        if charged.amount or charged.back:
            yield f"payment {number}: {there}, but it is {'no card payment' if payment else 'unknown to us'}"
        return
    if payment.method != "card" or payment.resolved:
        return
    amount = payment.amount or 0
    match payment.state:
        case "HELD":
            right = (charged.amount, charged.back) == (amount, payment.refunded)
        case "RELEASED":
            right = charged.amount == charged.back and payment.refunded in (0, charged.back)
        case "REJECTED":
            right = charged.amount == charged.back
        case "RELEASING":
            right = charged.amount == charged.back or not is_long_open(payment, now)
        case _:
            right = True
    if not right:
        what = f"payment {number} of order {payment.order_id}" if payment.order_id else f"payment {number}"
        yield (f"{what}: is {payment.state} with {amount}, {payment.refunded} of it given back, but {there}")
