"""The checks as pure functions: every damage to one row is told by its names, and by no others."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.verify.accounts import ACCOUNT_BOOK
from ops.verify.accounts import READINGS as OF_ACCOUNTS
from ops.verify.books import ORDER_BOOK
from ops.verify.cards import CardBook
from ops.verify.check import Book, Facts, Money, go_through
from ops.verify.coupons import COUPON_BOOK
from ops.verify.coupons import READINGS as OF_COUPONS
from ops.verify.items import ITEM_BOOK
from ops.verify.items import READINGS as OF_ITEMS
from ops.verify.order_records import READINGS as OF_ORDERS
from ops.verify.payments import READINGS as OF_PAYMENTS
from ops.verify.payments import payment_book
from ops.verify.read_side import FIGURES_BOOK
from ops.verify.tables import (
    CART_LINES,
    HELD_COUPONS,
    ITEM_SALES,
    LEDGER,
    ORDER_VIEWS,
    ORDERS,
    PAYMENTS,
    POLICIES,
    SALES_HOURS,
    STOCK,
    USERS,
    LedgerEntry,
    Table,
)
from payment_svc.pgs import Entry
from tests.ops.books_damage import damages
from tests.ops.books_memory import ListedPg, Memory
from tests.ops.books_rows import (
    BUYER,
    CARD,
    DONE,
    FUTURE,
    OTHER,
    UNPAID,
    Rows,
    T,
    order_id,
    payment_id,
    sound_pg,
    sound_rows,
)

TOLD = Path(__file__).with_name("books_told.txt")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
_LOOKED_UP = {CART_LINES, HELD_COUPONS, POLICIES, USERS}


def facts(unpaid_s: float = 1800.0) -> Facts:
    """Two hours later; the read side has listened all the time."""
    return Facts(now=NOW, told_since=datetime(2026, 1, 1, tzinfo=UTC), unpaid_s=unpaid_s)


def books(pg: Iterable[Entry]) -> dict[Book[Any], set[Table[Any]]]:
    """All books, with the tables that each reads."""
    return {
        ORDER_BOOK: {reading.table for reading in OF_ORDERS} | _LOOKED_UP,
        payment_book(CardBook(ListedPg(pg))): {reading.table for reading in OF_PAYMENTS},
        ACCOUNT_BOOK: {reading.table for reading in OF_ACCOUNTS},
        ITEM_BOOK: {reading.table for reading in OF_ITEMS},
        COUPON_BOOK: {reading.table for reading in OF_COUPONS},
        FIGURES_BOOK: {ORDER_VIEWS, SALES_HOURS, ITEM_SALES},
    }


async def wrong(
    rows: Rows, pg: Iterable[Entry] | None = None, look: Facts | None = None, of: Table[Any] | None = None
) -> list[tuple[str, str]]:
    """What all checks find, or those that read a table."""
    found: list[tuple[str, str]] = []
    for book, tables in books(sound_pg() if pg is None else pg).items():
        if of is None or of in tables:
            told = await go_through(book, Memory(rows), look or facts())
            found += [(name, text) for (name, _), texts in told.items() for text in texts]
    return found


async def test_sound_books_are_right_and_what_is_open_is_named() -> None:
    look = facts()
    assert await wrong(sound_rows(), look=look) == []
    assert look.attention == Money((payment_id(7),), 49_000)
    assert look.kept == Money((payment_id(8),), 49_800)


def expected() -> dict[str, tuple[str, set[str]]]:
    """By damage: how often of how many it is told, and by which checks."""
    told: dict[str, tuple[str, set[str]]] = {}
    names = set[str]()
    for line in TOLD.read_text().splitlines():
        if line.startswith("  "):
            names.add(line.strip())
        elif line and not line.startswith("#"):
            what, _, count = line.partition(": ")
            names = set[str]()
            told[what] = (count, names)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("table", sound_rows(), ids=lambda table: table.name)
async def test_damage_to_one_row_is_told_by_its_names_and_no_others(table: Table[Any]) -> None:
    sound = sound_rows()
    seen: dict[str, list[bool]] = defaultdict(list)
    names: dict[str, set[str]] = defaultdict(set)
    for damage in damages(sound, table):
        found = await wrong(damage.rows, of=table)
        what = f"{table.name}.{damage.what}"
        seen[what].append(bool(found))
        names[what] |= {name for name, _ in found}
        ids = {str(one) for one in (*damage.row, damage.value) if one is not None}
        assert not found or any(one in text for _, text in found for one in ids), (damage, found)
    told = {what: (f"{sum(each)} of {len(each)}", names[what]) for what, each in seen.items()}
    assert told == {what: one for what, one in expected().items() if what.partition(".")[0] == table.name}


def test_every_check_is_seen_to_fail() -> None:
    made = {check.name for book in books(()) for check in book.checks}
    assert made == {name for _, names in expected().values() for name in names}


def changed(rows: Rows, table: Table[Any], which: dict[str, Any], **columns: Any) -> Rows:
    """The rows, those of a table that have some values with other ones."""
    new = [
        row._replace(**columns) if all(getattr(row, name) == value for name, value in which.items()) else row
        for row in rows[table]
    ]
    assert new != rows[table]
    return rows | {table: new}


def _strangers_points() -> Rows:
    rows = sound_rows()
    for table in (PAYMENTS, LEDGER):
        rows = changed(rows, table, {"payment_id": payment_id(1)}, user_id=OTHER)
    return rows


def _refund_twice() -> Rows:
    rows = sound_rows()
    balance = rows[LEDGER][7].balance
    return rows | {
        LEDGER: [
            *rows[LEDGER],
            LedgerEntry(99, BUYER, 80, balance + 80, "refund", DONE, payment_id(1), None, None),
        ]
    }


def _refund_of_nothing() -> Rows:
    rows = sound_rows()
    balance = rows[LEDGER][7].balance
    entry = LedgerEntry(
        99, BUYER, 5_000_000, balance + 5_000_000, "refund", DONE, payment_id(254), None, None
    )
    return rows | {LEDGER: [*rows[LEDGER], entry]}


def _cheaper() -> Rows:
    rows = sound_rows()
    text = rows[ORDERS][5].lines.replace('"discounted_price": 49800', '"discounted_price": 40000')
    return changed(rows, ORDERS, {"id": UNPAID}, lines=text, total=40_000)


SEEN = [
    (
        "payments are of their order's buyer and total",
        f"payment {payment_id(1)} of order {DONE}: is of user 3",
        _strangers_points,
    ),
    (
        "payments are of their order's buyer and total",
        f"payment {payment_id(5)} of order {CARD}: is of user 3, but the buyer is user 2",
        lambda: changed(sound_rows(), PAYMENTS, {"payment_id": payment_id(5)}, user_id=OTHER),
    ),
    (
        "ledger entries note the balance after them",
        "ledger of user 2: entry 3 notes 7, but 959920 and -39780 are 920140",
        lambda: changed(sound_rows(), LEDGER, {"id": 3}, balance=7),
    ),
    (
        "stock entries note what is there after them",
        "stock of item 1: entry 6 notes 99, but 14 and -1 are 13",
        lambda: changed(sound_rows(), STOCK, {"id": 6}, balance=99),
    ),
    (
        "ledger entries have their payments",
        f"ledger entry 99 (refund of 5000000) of user 2: names payment {payment_id(254)}, which is unknown",
        _refund_of_nothing,
    ),
    (
        "points taken agree with the payments",
        f"payment {payment_id(1)} of order {DONE}: is HELD with 40080, 80 of it given back, but its ledger"
        " entries take 40080 and give back 160",
        _refund_twice,
    ),
    (
        "nothing waits without somebody who will look",
        f"order {UNPAID}: is COMPLETED and unpaid, but has no deadline",
        lambda: changed(sound_rows(), ORDERS, {"id": UNPAID}, deadline_at=None),
    ),
    (
        "discounts follow from the buyer's coupons",
        f"order {UNPAID}: discount_mismatch (item_id 1, asked 40000, expected 49800), but it has such a line",
        _cheaper,
    ),
    (
        "card payments agree with the payment gateway",
        f"payment {payment_id(6)} of order {CARD}: is RELEASING with 49800, 49800 of it given back, but the"
        " payment gateway has charged 49800 and given back 0",
        lambda: changed(
            sound_rows(), PAYMENTS, {"payment_id": payment_id(6)}, state="RELEASING", ask_due_at=FUTURE
        ),
    ),
]


@pytest.mark.parametrize(("check", "text", "rows"), SEEN, ids=[text[:60] for _, text, _ in SEEN])
async def test_what_sums_do_not_show_is_seen(check: str, text: str, rows: Any) -> None:
    pg = [one for one in sound_pg() if (one.number, one.amount) != (payment_id(6), -49_800)]
    found = await wrong(rows(), pg=pg if "gateway" in check else None)
    assert any(name == check and told.startswith(text) for name, told in found), found


async def test_unpaid_orders_may_wait_for_ever_where_the_shop_lets_them() -> None:
    rows = changed(sound_rows(), ORDERS, {"id": UNPAID}, deadline_at=None)
    assert await wrong(rows, look=facts(unpaid_s=0)) == []


def entry(number: str, amount: int, currency: str = "KRW") -> Entry:
    """A transaction at the payment gateway."""
    return Entry(number, amount, currency, T)


CARDS = [
    # What the gateway lists of the payment, how the payment stands, and what is said about it.
    ([49_800, -300], {}, ""),
    ([49_800, -100, -200], {}, ""),
    ([], {}, "is HELD with 49800, 300 of it given back, but the payment gateway has charged 0"),
    ([49_800], {}, "has charged 49800 and given back 0"),
    ([49_800, -49_800], {}, "has charged 49800 and given back 49800"),
    ([9, -300], {}, "has charged 9 and given back 300"),
    ([49_800, 49_800, -300], {}, "has charged 99600"),
    ([49_800, -300], {"state": "RELEASED", "refunded": 49_800}, "is RELEASED with 49800"),
    ([49_800, -49_800], {"state": "RELEASED", "refunded": 49_800}, ""),
    ([49_800, -49_800], {"state": "RELEASED", "refunded": 0}, ""),
    ([], {"state": "RELEASED", "refunded": 0}, ""),
    ([], {"state": "RELEASED", "refunded": 49_800}, "is RELEASED with 49800, 49800 of it given back"),
    ([9], {"state": "REJECTED", "refunded": 0}, "is REJECTED"),
    ([9, -9], {"state": "REJECTED", "refunded": 0}, ""),
    ([9], {"state": "ASKING"}, ""),
    ([9], {"state": "NEEDS_ATTENTION"}, ""),
    ([49_800], {"state": "RELEASING"}, "is RELEASING"),
    ([49_800], {"state": "RELEASING", "changed_at": NOW}, ""),
    ([49_800], {"state": "RELEASING", "changed_at": NOW, "asks": 15}, "is RELEASING"),
    ([], {"resolved": "kept"}, ""),
    ([49_800, -300], {"method": "points"}, "but it is no card payment"),
]


@pytest.mark.parametrize(("amounts", "columns", "said"), CARDS)
async def test_cards_are_compared_with_the_payment_gateway(
    amounts: list[int], columns: dict[str, Any], said: str
) -> None:
    number = payment_id(5)
    pg = [one for one in sound_pg() if one.number != number] + [entry(number, amount) for amount in amounts]
    rows = sound_rows()
    if columns:
        rows = changed(rows, PAYMENTS, {"payment_id": number}, **columns)

    found = [text for name, text in await wrong(rows, pg=pg, of=PAYMENTS) if "gateway" in name]

    assert len(found) == bool(said), found
    assert all(said in text and f"payment {number}" in text for text in found)


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        (
            entry(payment_id(77), 9),
            f"payment {payment_id(77)}: the payment gateway has charged 9 and given back 0, but it is unknown"
            " to us",
        ),
        (entry(payment_id(77).upper().replace("-", "") + "-other", 9), ""),
        (entry("order-of-another-shop", 9), ""),
        (
            entry(payment_id(5), 0, "USD"),
            f"payment {payment_id(5)}: was charged in USD at the payment gateway",
        ),
    ],
)
async def test_strange_charges_are_told_unless_they_are_another_shops(strange: Entry, said: str) -> None:
    found = await wrong(sound_rows(), pg=[*sound_pg(), strange])
    assert [text for _, text in found] == ([said] if said else [])


async def test_what_a_person_has_closed_is_not_compared_with_the_payment_gateway() -> None:
    pg = [one for one in sound_pg() if one.number != payment_id(8)]
    assert await wrong(sound_rows(), pg=pg) == []


async def test_only_some_keys_are_looked_at() -> None:
    rows = changed(sound_rows(), ORDERS, {"id": UNPAID}, total=1)
    rows = changed(rows, ORDERS, {"id": DONE}, total=1)
    found = await go_through(ORDER_BOOK, Memory(rows), facts(), {DONE, order_id(404)})
    assert {key for _, key in found} == {DONE}
