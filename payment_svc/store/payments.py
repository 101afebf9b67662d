"""The payment rows: what was said to which order. They are what makes every repetition harmless.

A row is read under its lock, changed in memory, and written as a whole: so nobody can write a state without
the time of the next question about it, or a time that belongs to another state.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from prometheus_client import Gauge

from payment_svc.domain import Payment, State
from shared.database import Database, Reader, Row, Select, Transaction, columns, values
from shared.errors import NotFound

HINT_PAUSE = timedelta(seconds=10)
"""A payment's notices have the PG asked once in so long, however many come."""
HINT_PACE = timedelta(seconds=0.2)
"""Between two questions that notices lead to, of all payments together: 5 a second."""

NEEDING_ATTENTION = Gauge("shop_payments_needing_attention", "Payments that a person has to decide about")

_INSERT = (
    f"INSERT INTO payments ({columns(Payment)}) VALUES ({', '.join(['%s'] * len(Payment.__struct_fields__))})"
)
_MUTABLE = (
    "state",
    "refunded",
    "released",
    "refunding",
    "refund_id",
    "reason",
    "details",
    "resolved",
    "card_key",
    "asks",
    "ask_due_at",
    "changed_at",
)
_UPDATE = f"{_INSERT} ON DUPLICATE KEY UPDATE {', '.join(f'{name} = VALUES({name})' for name in _MUTABLE)}"


class _Key(Row):
    card_key: str | None


class _Count(Row):
    count: int


class _Turn(Row):
    next_at: datetime


_PAYMENTS = Select(Payment, "FROM payments")
_OF_NUMBERS = _PAYMENTS + "WHERE payment_id IN %s"
_LOCKING = _OF_NUMBERS + "ORDER BY order_id, attempt FOR UPDATE"
_LOCKING_BY_ORDER = _PAYMENTS + "WHERE order_id IN %s ORDER BY order_id, attempt FOR UPDATE"
_LOCKING_KEYS = Select(_Key, "FROM payments WHERE card_key IN %s ORDER BY card_key FOR UPDATE")
_IN_STATE = Select(_Count, "FROM payments WHERE state = %s", made={"count": "COUNT(*)"})
_NEXT_TURN = Select(_Turn, "FROM notice_pace WHERE id = 1 FOR UPDATE")


async def lock_latest(tx: Transaction, order_ids: Iterable[UUID]) -> dict[UUID, Payment]:
    """The latest payment of each of these orders that has one, held until the commit.

    Only the latest can count: another one is begun only when those before it hold nothing any more.
    """
    found = await _lock(tx, _LOCKING_BY_ORDER, order_ids)
    return {payment.order_id: payment for payment in found if payment.order_id is not None}


async def lock(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Payment]:
    """These payments, held until the commit."""
    return await _lock(tx, _LOCKING, payment_ids)


async def lock_keys(tx: Transaction, card_keys: Iterable[str | None]) -> set[str]:
    """Which of these keys pay, or were meant to pay, for something already."""
    wanted = sorted({key for key in card_keys if key is not None})
    if not wanted:
        return set()
    found = await tx.find(_LOCKING_KEYS, wanted)
    return {one.card_key for one in found if one.card_key is not None}


async def find(db: Reader, payment_id: UUID) -> Payment | None:
    """One payment as it is now."""
    found = await of_numbers(db, [payment_id])
    return found[0] if found else None


async def of_numbers(db: Reader, payment_ids: Sequence[UUID]) -> list[Payment]:
    """Those of these payments that there are, as they are now."""
    return await db.find(_OF_NUMBERS, sorted(payment_ids))


async def known(db: Database, payment_id: UUID) -> Payment:
    """One payment as it is now. Raises `NotFound` where there is none, or only an order's tombstone."""
    payment = await db.read(lambda reader: find(reader, payment_id))
    if payment is None or payment.user_id is None:
        raise NotFound(f"There is no payment {payment_id}.")
    return payment


async def in_state(
    db: Reader, state: State, *, refunded: bool | None, after: UUID | None, limit: int
) -> list[Payment]:
    """The oldest `limit` payments in a state that are younger than `after`; numbers sort by time.

    With `refunded`, only those that were (or were not) given back in part.
    """
    only = {True: " AND refunded > 0", False: " AND refunded = 0", None: ""}[refunded]
    select = _PAYMENTS + (
        f"WHERE state = %s AND payment_id > %s AND user_id IS NOT NULL{only} ORDER BY payment_id LIMIT %s"
    )
    return await db.find(select, state, after or "", limit)


async def any_by_card(db: Reader) -> bool:
    """Whether anybody ever paid with a card."""
    return await db.row("SELECT 1 FROM payments WHERE card_key IS NOT NULL LIMIT 1") is not None


async def count(db: Reader, state: State) -> int:
    """How many payments are in a state."""
    [found] = await db.find(_IN_STATE, state)
    return found.count


async def add(tx: Transaction, payments: Sequence[Payment]) -> None:
    """Write new payments down. A twin that was faster shows as a duplicate key: the whole unit runs again."""
    await tx.write_many(_INSERT, [_values(payment, tx.now, tx.now) for payment in payments])


async def save(tx: Transaction, payments: Sequence[Payment]) -> None:
    """Write down how these payments stand now, which the transaction holds; in one statement.

    The rows are there; the insert is only a way to name many of them.
    """
    ordered = sorted(payments, key=lambda payment: payment.payment_id)
    await tx.write_many(_UPDATE, [_values(payment, payment.created_at, tx.now) for payment in ordered])


async def take_due(tx: Transaction, *, lease_s: float, limit: int, first: int) -> list[Payment]:
    """Payments that the PG is to be asked about now; nobody else takes them for `lease_s` seconds.

    Of the `limit` at most `first` were asked about before: a card that hangs must not keep a new one waiting.
    """
    due: list[Payment] = []
    for asked, most in (("asks = 0", limit), ("asks > 0", first)):
        most = min(most, limit - len(due))
        if most > 0:
            select = _PAYMENTS + (
                f"WHERE ask_due_at <= %s AND {asked} ORDER BY ask_due_at LIMIT %s FOR UPDATE SKIP LOCKED"
            )
            due += await tx.find(select, tx.now, most)
    if due:
        until = tx.now + timedelta(seconds=lease_s)
        await tx.write(
            "UPDATE payments SET ask_due_at = %s, looked_at = %s, asks = asks + 1 WHERE payment_id IN %s",
            (until, tx.now, sorted(payment.payment_id for payment in due)),
        )
    return [msgspec.structs.replace(one, asks=one.asks + 1) for one in due]


async def charging(tx: Transaction, payment: Payment) -> bool:
    """Note that the PG is about to be asked to charge a card; False if that is not wanted any more."""
    changed = await tx.execute(
        "UPDATE payments SET asked_at = %s, looked_at = %s"
        " WHERE payment_id = %s AND state = 'ASKING' AND asks = %s",
        (tx.now, tx.now, payment.payment_id, payment.asks),
    )
    return bool(changed)


async def hint(
    tx: Transaction, payment_id: UUID, *, unless: Callable[[Payment], bool], paced: bool = True
) -> None:
    """Have the PG asked about a card payment soon, since something may have changed there.

    A payment is asked about once in `HINT_PAUSE`, and all together at `HINT_PACE`, so that whoever makes
    notices up cannot have the PG asked more, and none is asked about later for it than it would be anyway.
    What a person has closed is not opened again. Nothing is asked `unless` says that we know it already. What
    the PG itself says, in its own list, is not `paced`.
    """
    [payment] = await lock(tx, [payment_id]) or [None]
    if payment is None or not payment.by_card or unless(payment):
        return
    if payment.resolved is not None and payment.state in (State.RELEASED, State.KEPT):
        return
    at = tx.now if payment.looked_at is None else max(tx.now, payment.looked_at + HINT_PAUSE)
    if paced:
        # A row that is not there cannot be held: the first notices ever would all have the same turn.
        await tx.write(
            "INSERT INTO notice_pace (id, next_at) VALUES (1, %s) ON DUPLICATE KEY UPDATE id = id", (tx.now,)
        )
        [turn] = await tx.find(_NEXT_TURN)
        at = max(at, turn.next_at)
    if payment.ask_due_at is not None and payment.ask_due_at <= max(at, tx.now + HINT_PAUSE):
        return
    if paced:
        await tx.write("UPDATE notice_pace SET next_at = %s WHERE id = 1", (at + HINT_PACE,))
    await tx.write("UPDATE payments SET ask_due_at = %s WHERE payment_id = %s", (at, payment_id))


async def _lock(tx: Transaction, select: Select[Payment], wanted: Iterable[UUID]) -> list[Payment]:
    [found] = await tx.ask(select.among(set(wanted)))
    return found


def _values(payment: Payment, created_at: datetime | None, changed_at: datetime) -> Sequence[Any]:
    return values(msgspec.structs.replace(payment, created_at=created_at, changed_at=changed_at))
