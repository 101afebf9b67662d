"""Makes the checks, twice where something looks wrong, and says what is."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from deploy.local.layout import Layout
from ops.verify.accounts import ACCOUNT_BOOK
from ops.verify.cards import CardBook, Transactions
from ops.verify.carts import CART_CHECKS
from ops.verify.check import NOTHING, Book, Facts, Money, Suspect, go_through
from ops.verify.claims import CLAIM_CHECKS
from ops.verify.coupons import COUPON_BOOK, ORDER_COUPON_CHECKS
from ops.verify.erasures import ERASURE_BOOK
from ops.verify.items import ITEM_BOOK
from ops.verify.notices import NOTICE_CHECKS
from ops.verify.one_schema import STATEMENTS, look
from ops.verify.order_records import pages
from ops.verify.orders import ORDER_CHECKS
from ops.verify.paying import PAYING_CHECKS
from ops.verify.payments import payment_book
from ops.verify.progress import PROGRESS_CHECKS
from ops.verify.read_side import FIGURES_BOOK, READ_SIDE_CHECKS
from ops.verify.rest import until_rest
from ops.verify.source import Databases, Source
from ops.verify.stored_events import EVENT_CHECKS
from order_svc.settings import OrderSettings
from payment_svc.pgs import adapter
from payment_svc.settings import PaymentSettings
from shared.clock import aware
from shared.settings import load

# How long outboxes may take to drain, orders to settle and followers to come by, before it counts as wrong.
PATIENCE_S = 60.0
# Between two reads of something that looks wrong: longer than a message is under way.
SECOND_LOOK_S = 2.0
_SHOWN = 50
_NAMED = 10

ORDER_BOOK = Book(
    "orders",
    (
        *ORDER_CHECKS,
        *CLAIM_CHECKS,
        *ORDER_COUPON_CHECKS,
        *CART_CHECKS,
        *PAYING_CHECKS,
        *NOTICE_CHECKS,
        *PROGRESS_CHECKS,
        *READ_SIDE_CHECKS,
        *EVENT_CHECKS,
    ),
    pages,
)


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that does not add up; `text` names it with its ids."""

    check: str
    text: str


@dataclass(frozen=True, slots=True)
class Books:
    """What was looked at and what is wrong with it.

    `attention` are payments that a person has yet to decide about, `kept` those whose money a person decided
    to keep: both are told, and neither is wrong.
    """

    checks: tuple[str, ...]
    discrepancies: tuple[Discrepancy, ...]
    orders: int
    waited_s: float
    attention: Money = NOTHING
    kept: Money = NOTHING

    @property
    def balanced(self) -> bool:
        """Whether nothing is wrong."""
        return not self.discrepancies

    def document(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "balanced": self.balanced,
            "orders": self.orders,
            "waited_s": round(self.waited_s, 1),
            "checks": list(self.checks),
            "discrepancies": [{"check": found.check, "text": found.text} for found in self.discrepancies],
            "attention": {"payments": list(self.attention.payments), "won": self.attention.won},
            "kept": {"payments": list(self.kept.payments), "won": self.kept.won},
        }


def databases(at: Layout) -> Databases:
    """The services' databases of a shop, for the user that may only read."""
    return Databases(lambda service: f"{at.verify_url.rstrip('/')}/{service}_svc")


def gateway(at: Layout) -> Transactions | None:
    """The payment gateway that the shop charges cards at; None where it has none."""
    url = os.environ.get("SHOP_PG_URL") or at.outside_url("pg")
    return adapter(replace(load(PaymentSettings), pg_url=url)) if url else None


async def balance(at: Layout, console: Console) -> Books:
    """Prove the books of a shop, and print the outcome; raises CannotRead."""
    async with databases(at) as source:
        books = await examine(source, pg=gateway(at), unpaid_s=load(OrderSettings).order_unpaid_s)
    show(console, books)
    return books


async def examine(
    source: Source,
    *,
    pg: Transactions | None = None,
    unpaid_s: float = 1800.0,
    patience_s: float = PATIENCE_S,
    second_look_s: float = SECOND_LOOK_S,
) -> Books:
    """Wait until what is under way now has come to rest (or for `patience_s`), then make every check.

    `pg` lists what the payment gateway has charged; without it, cards are checked on our side alone.
    `unpaid_s` is how long the shop lets a completed order wait to be paid. Raises `CannotRead`.
    """
    started = monotonic()
    facts = await _facts(source, unpaid_s)
    waited_s = await until_rest(source, facts.now, patience_s)
    books = (
        ORDER_BOOK,
        payment_book(CardBook(pg) if pg else None),
        ACCOUNT_BOOK,
        ERASURE_BOOK,
        ITEM_BOOK,
        COUPON_BOOK,
        FIGURES_BOOK,
    )
    found = await _examine_books(books, source, facts, started + patience_s, second_look_s)
    found += await _examine_statements(source, second_look_s)
    [counted] = await source.ask("order", "SELECT COUNT(*) AS orders FROM orders")
    names = dict.fromkeys(
        [check.name for book in books for check in book.checks] + [statement.name for statement in STATEMENTS]
    )
    return Books(tuple(names), tuple(found), int(counted["orders"]), waited_s, facts.attention, facts.kept)


async def _facts(source: Source, unpaid_s: float) -> Facts:
    [clock] = await source.ask("order", "SELECT UTC_TIMESTAMP(6) AS now")
    told = await source.ask("query", "SELECT stored_at FROM saga_event_log ORDER BY position LIMIT 1")
    told_since = aware(told[0]["stored_at"]) if told else None
    return Facts(now=aware(clock["now"]), told_since=told_since, unpaid_s=unpaid_s)


async def _examine_books(
    books: tuple[Book[Any], ...], source: Source, facts: Facts, until: float, second_look_s: float
) -> list[Discrepancy]:
    """What is wrong each time it is looked at. What only follows its causes is looked at until it is right,
    or until a time is over."""
    wrong: dict[str, dict[Suspect, list[str]]] = {}
    for book in books:
        if found := await go_through(book, source, facts):
            wrong[book.name] = found
    follow = {check.name for book in books for check in book.checks if check.follows}
    look_again = bool(wrong)
    while look_again:
        await asyncio.sleep(second_look_s)
        wrong = await _still_wrong(books, source, facts, wrong)
        look_again = monotonic() < until and any(
            name in follow for found in wrong.values() for name, _ in found
        )
    return [
        Discrepancy(name, text)
        for found in wrong.values()
        for (name, _), texts in sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1])))
        for text in texts
    ]


async def _still_wrong(
    books: tuple[Book[Any], ...],
    source: Source,
    facts: Facts,
    wrong: Mapping[str, Mapping[Suspect, list[str]]],
) -> dict[str, dict[Suspect, list[str]]]:
    """Of what was seen wrong that which is wrong again, as it is now."""
    still: dict[str, dict[Suspect, list[str]]] = {}
    for book in books:
        if before := wrong.get(book.name):
            again = await go_through(book, source, facts, {key for _, key in before})
            if both := {suspect: texts for suspect, texts in again.items() if suspect in before}:
                still[book.name] = both
    return still


async def _examine_statements(source: Source, second_look_s: float) -> list[Discrepancy]:
    suspects = {
        number: seen for number, statement in enumerate(STATEMENTS) if (seen := await look(source, statement))
    }
    if suspects:
        await asyncio.sleep(second_look_s)
    found: list[Discrepancy] = []
    for number, statement in enumerate(STATEMENTS):
        if first := suspects.get(number):
            second = await look(source, statement)
            found += [Discrepancy(statement.name, text) for key, text in second.items() if key in first]
    return found


def show(console: Console, books: Books) -> None:
    """Print the outcome: each discrepancy with its ids, or that all is well."""
    waited = f", after {books.waited_s:.1f} s for the shop to come to rest" if books.waited_s >= 0.25 else ""
    if books.balanced:
        text = f"The books balance: {len(books.checks)} checks over {books.orders:,} orders{waited}."
        console.print(Text(text, style="bold green"))
    else:
        total = len(books.discrepancies)
        noun = "discrepancy" if total == 1 else "discrepancies"
        console.print(Text(f"The books do not balance: {total:,} {noun}{waited}.", style="bold red"))
        for found in books.discrepancies[:_SHOWN]:
            console.print(Text(f"  {found.check}: {found.text}"), soft_wrap=True)
        if total > _SHOWN:
            console.print(f"  and {total - _SHOWN:,} more (all of them are in the --json file)")
    _show_money(console, "waiting for a person to decide", books.attention)
    _show_money(console, "kept by a person's decision", books.kept)


def _show_money(console: Console, what: str, money: Money) -> None:
    count = len(money.payments)
    if count:
        named = ", ".join(money.payments[:_NAMED]) + (
            f" and {count - _NAMED:,} more" if count > _NAMED else ""
        )
        noun = "payment" if count == 1 else "payments"
        console.print(Text(f"{count:,} {noun} {what}, {money.won:,} won: {named}"), soft_wrap=True)
