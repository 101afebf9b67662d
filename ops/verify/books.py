"""Makes the checks, twice where something looks wrong, and says what is."""

import asyncio
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from rich.console import Console
from rich.text import Text

from deploy.local.layout import Layout
from ops.databases import CannotRead, Query, reading
from ops.verify import cards
from ops.verify.check import Check
from ops.verify.checks import CHECKS, COUNT_ORDERS, NOW, UNDER_WAY

# How long outboxes may take to drain and orders to settle before what is left counts as wrong.
PATIENCE_S = 60.0
# Between two reads of something that looks wrong: longer than a message is under way.
SECOND_LOOK_S = 2.0
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that does not add up; `text` names it with its ids."""

    check: str
    text: str


@dataclass(frozen=True, slots=True)
class Books:
    """What was looked at and what is wrong with it."""

    checks: tuple[str, ...]
    discrepancies: tuple[Discrepancy, ...]
    orders: int
    waited_s: float

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
        }


async def balance(at: Layout, console: Console) -> Books:
    """Prove the books of a shop, and print the outcome; raises CannotRead."""
    pg_url = at.outside_url("pg")
    async with reading(at.verify_url) as query:
        books = await examine(query, charges=partial(cards.read_charges, pg_url) if pg_url else None)
    show(console, books)
    return books


async def examine(
    query: Query,
    *,
    charges: cards.Charges | None = None,
    patience_s: float = PATIENCE_S,
    second_look_s: float = SECOND_LOOK_S,
) -> Books:
    """Wait until what is under way now has come to rest (or for `patience_s`), then make every check.

    `charges` asks the payment gateway for its own book; without it, cards are checked on our side alone.
    """
    waited_s = await _rest(query, patience_s)
    suspects = {check: seen for check in CHECKS if (seen := await _look(query, check))}
    strangers = await _look_at_cards(query, charges)
    if suspects or strangers:
        await asyncio.sleep(second_look_s)
    found: list[Discrepancy] = []
    for check, first in suspects.items():
        second = await _look(query, check)
        # What both reads show is wrong; the second one tells how it is now.
        found += [Discrepancy(check.name, text) for key, text in second.items() if key in first]
    if strangers:
        again = await _look_at_cards(query, charges)
        found += [Discrepancy(cards.CHECK, text) for key, text in again.items() if key in strangers]
    [counted] = await query(COUNT_ORDERS, ())
    names = (*(check.name for check in CHECKS), *((cards.CHECK,) if charges else ()))
    return Books(names, tuple(found), int(counted["orders"]), waited_s)


async def _rest(query: Query, patience_s: float) -> float:
    """Wait for the outboxes and unsettled orders of this moment; returns how many seconds it took.

    Later ones do not count: a shop where people buy never rests as a whole.
    """
    started = monotonic()
    [clock] = await query(NOW, ())
    for sql in UNDER_WAY:
        while True:
            waited_s = monotonic() - started
            if waited_s >= patience_s or not await query(sql, (clock["now"],)):
                break
            await asyncio.sleep(0.25)
    return monotonic() - started


async def _look(query: Query, check: Check) -> dict[tuple[Any, ...], str]:
    """What a check finds now, by the ids that a finding is recognised by."""
    rows = await query(check.sql, ())
    return {tuple(row[name] for name in check.key): check.tell.format_map(row) for row in rows}


async def _look_at_cards(query: Query, charges: cards.Charges | None) -> dict[str, str]:
    """What does not agree with the payment gateway now, by payment id."""
    if charges is None:
        return {}
    payments = await query(cards.CARD_PAYMENTS, ())
    try:
        return dict(cards.compare(payments, await charges()))
    except CannotRead:
        if payments:
            raise
        return {}  # nobody has paid with a card, so there is nothing to compare


def show(console: Console, books: Books) -> None:
    """Print the outcome: each discrepancy with its ids, or that all is well."""
    waited = f", after {books.waited_s:.1f} s for the shop to come to rest" if books.waited_s >= 0.25 else ""
    if books.balanced:
        text = f"The books balance: {len(books.checks)} checks over {books.orders:,} orders{waited}."
        console.print(Text(text, style="bold green"))
        return
    total = len(books.discrepancies)
    noun = "discrepancy" if total == 1 else "discrepancies"
    console.print(Text(f"The books do not balance: {total:,} {noun}{waited}.", style="bold red"))
    for found in books.discrepancies[:_SHOWN]:
        console.print(Text(f"  {found.check}: {found.text}"), soft_wrap=True)
    if total > _SHOWN:
        console.print(f"  and {total - _SHOWN:,} more (all of them are in the --json file)")
