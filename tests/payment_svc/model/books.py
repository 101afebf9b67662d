"""What must be so of payments at any moment, and of everything once it has come to rest."""

from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from payment_svc.domain import WAITING, State
from shared.database.units import Database
from tests.payment_svc.model.gateway import Gateway

AT_REST = frozenset({State.HELD, State.REJECTED, State.RELEASED, State.NEEDS_ATTENTION, State.KEPT})


class Row(NamedTuple):
    """A payment as its table has it."""

    payment_id: UUID
    order_id: UUID | None
    state: State
    user_id: int | None
    method: str | None
    amount: int
    refunded: int
    released: int
    refunding: int
    reason: str | None
    details: dict[str, Any]
    resolved: str | None
    card_key: str | None
    ask_due_at: datetime | None

    @property
    def left(self) -> int:
        """What the shop holds of it, if it was taken."""
        return self.amount - self.refunded

    @property
    def by_card(self) -> bool:
        """Whether the PG may know of it."""
        return self.method == "card" and self.card_key is not None


class Entry(NamedTuple):
    """One line of the ledger."""

    user_id: int
    kind: str
    delta: int
    balance: int
    payment_id: UUID | None


class Order(NamedTuple):
    """An order as its table has it."""

    order_id: UUID
    status: str
    reason: str | None
    settled: bool
    paid: bool
    total: int
    paid_by: UUID | None
    deadline_at: datetime | None
    release_due_at: datetime | None


class Books(NamedTuple):
    """What the payment service has written down."""

    payments: list[Row]
    ledger: list[Entry]
    balances: dict[int, int]

    def of_order(self, order_id: UUID) -> list[Row]:
        """The payments of an order."""
        return [row for row in self.payments if row.order_id == order_id]


async def read_payments(db: Database) -> Books:
    """The payment service's books; payments in the order of their numbers."""
    payments, ledger, accounts = await db.read(
        lambda reader: reader.rows_of_each(
            (
                "SELECT payment_id, order_id, state, user_id, method, COALESCE(amount, 0), refunded,"
                " released, refunding, reason, details, resolved, card_key, ask_due_at FROM payments"
                " ORDER BY payment_id",
                (),
            ),
            ("SELECT user_id, kind, delta, balance, payment_id FROM ledger ORDER BY id", ()),
            ("SELECT user_id, balance FROM accounts", ()),
        )
    )
    return Books(
        payments=[_row(row) for row in payments],
        ledger=[Entry._make((*row[:4], _maybe(row[4]))) for row in ledger],
        balances=dict(accounts),
    )


async def read_orders(db: Database) -> list[Order]:
    """The orders, each with when it or its participants are due."""
    rows = await db.read(
        lambda reader: reader.rows(
            "SELECT o.id, o.status, o.reason, o.settled, o.paid, o.total, p.payment_id, o.deadline_at,"
            " (SELECT MIN(r.release_due_at) FROM participants r WHERE r.order_id = o.id) FROM orders o"
            " LEFT JOIN participants p ON p.order_id = o.id AND p.name = 'payment' ORDER BY o.id"
        )
    )
    return [
        Order._make((UUID(row[0]), *row[1:3], bool(row[3]), bool(row[4]), row[5], _maybe(row[6]), *row[7:]))
        for row in rows
    ]


def check_always(books: Books, pg: Gateway, paid_back: dict[UUID, int]) -> None:
    """What holds after every step, whatever is under way. `paid_back`: won that a person gave back."""
    for row in books.payments:
        assert row.state not in WAITING or row.ask_due_at is not None, row
        assert not row.refunding or row.ask_due_at is not None, row
        assert 0 <= row.released <= row.refunded <= row.amount, row
        if row.by_card and row.resolved is None and pg.was_charged(row.payment_id):
            # We never say that more was given back than was, by the PG or by hand; or we are about to look.
            left = pg.left_of(row.payment_id) - paid_back.get(row.payment_id, 0)
            assert row.left >= left or row.state is State.ASKING or row.ask_due_at is not None, (row, left)
    _nobody_is_charged_unseen(books, pg, paid_back)
    _ledger_adds_up(books)


def check_at_rest(
    books: Books, orders: list[Order], pg: Gateway, paid_back: dict[UUID, int], *, last_looks: bool = False
) -> None:
    """What holds once nothing is under way, and nothing is due but what a person has to decide.

    With `last_looks` there may be payments that were given up, and are looked at once more some time later.
    """
    check_always(books, pg, paid_back)
    moved: dict[UUID, int] = defaultdict(int)
    for entry in books.ledger:
        if entry.payment_id is not None:
            moved[entry.payment_id] += entry.delta
    for row in books.payments:
        assert row.state in AT_REST, row
        is_last = last_looks and row.state in (State.REJECTED, State.RELEASED)
        assert row.ask_due_at is None or is_last, row
        held = _held(row)
        if row.by_card and held is not None:
            assert pg.left_of(row.payment_id) - paid_back.get(row.payment_id, 0) == held, (row, held)
        if row.method == "points":
            assert moved[row.payment_id] == -(held or 0), (row, moved[row.payment_id])
        elif row.order_id is None:
            _purchase_adds_up(row, moved[row.payment_id])
    for order in orders:
        _order_is_at_rest(order, books.of_order(order.order_id))


def _nobody_is_charged_unseen(books: Books, pg: Gateway, paid_back: dict[UUID, int]) -> None:
    known = {row.payment_id: row for row in books.payments}
    for session in pg.charged():
        payment_id = UUID(session.number)
        row = known.get(payment_id)
        assert row is not None, session.number
        seen = row.state in (State.HELD, State.KEPT, State.NEEDS_ATTENTION) or row.ask_due_at is not None
        # A person may have closed it otherwise, having paid the money back by hand.
        assert seen or row.resolved is not None, row


def _ledger_adds_up(books: Books) -> None:
    balances: dict[int, int] = defaultdict(int)
    for entry in books.ledger:
        balances[entry.user_id] += entry.delta
        assert balances[entry.user_id] == entry.balance >= 0, entry
    assert {user_id: balances[user_id] for user_id in books.balances} == books.balances


def _held(row: Row) -> int | None:
    """What is to be charged of a payment by its row; None where a person has to find out."""
    match row.state:
        case State.HELD | State.KEPT:
            return row.left
        case State.RELEASED if row.order_id is None:
            return row.left if row.refunded else 0
        case State.REJECTED | State.RELEASED:
            return 0
        case _:
            return row.left if row.reason == "points_spent" else None


def _purchase_adds_up(row: Row, points: int) -> None:
    """The points of a purchase are those of its charge that were not given back, but for what is missing."""
    match row.state:
        case State.REJECTED:
            assert points == 0, row
        case State.NEEDS_ATTENTION if row.reason != "points_spent":
            assert points in (0, row.left), row
        case _:
            missing = int(row.details.get("missing", 0))
            assert points in (0, row.left) or points == row.left + missing, (row, points)
            assert row.state is not State.HELD or points == row.left, (row, points)


def _order_is_at_rest(order: Order, payments: list[Row]) -> None:
    held = [row for row in payments if row.state is State.HELD]
    undecided = [row for row in payments if row.state is State.NEEDS_ATTENTION]
    kept = [row for row in payments if row.state is State.KEPT]
    if order.status == "COMPLETED":
        assert order.paid, order
        # What it was paid with may be what a person has to look at.
        paying = [row for row in (*held, *undecided) if row.payment_id == order.paid_by]
        assert [row.amount for row in paying] == [order.total], (order, payments)
        assert len(held) <= 1, (order, payments)
        return
    assert not held, (order, payments)
    assert order.settled or undecided, (order, payments)
    if order.settled:
        assert order.status in ("FAIL", "CANCEL"), order
        by_kept = [row for row in kept if row.payment_id == order.paid_by]
        assert by_kept or order.reason != "payment_kept", (order, payments)
        # An order that had come to rest before its charge arrived stays as it is, whatever becomes of that.
        assert not by_kept or order.reason == "payment_kept" or order.status == "CANCEL", (order, payments)


def _row(row: tuple[Any, ...]) -> Row:
    details = msgspec.json.decode(row[10], type=dict)
    return Row._make((UUID(row[0]), _maybe(row[1]), State(row[2]), *row[3:10], details, *row[11:]))


def _maybe(text: str | None) -> UUID | None:
    return UUID(text) if text else None
