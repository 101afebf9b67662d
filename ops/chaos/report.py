"""A run as people read it."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.chaos.inflicting import Inflicted
from ops.chaos.run import Result
from ops.verify.books import show as show_books

_SHOWN = 30


def show(console: Console, result: Result) -> None:
    """What was done, what clients saw, how the orders ended, and everything that is wrong."""
    console.print(_faults(result))
    for text in result.left_out:
        console.print(f"left out: {text}", highlight=False)
    verdict = result.verdict
    _counted(console, "purchases", verdict.told)
    _counted(console, "orders", verdict.ends)
    _counted(console, "answers", result.journal.statuses())
    if verdict.unknown_but_placed:
        count = len(verdict.unknown_but_placed)
        console.print(f"placed although the buyer got no answer: {count}", highlight=False)
    if result.not_ready:
        console.print(Text(f"not ready again: {result.not_ready}", style="bold red"))
    for name, found in (
        ("lost", verdict.lost),
        ("stuck", verdict.stuck),
        ("doubled", verdict.doubled),
        ("kinds of answers 500", result.errors()),
        ("wrong answers", verdict.troubles),
    ):
        _found(console, name, found)
    show_books(console, result.books)


def _faults(result: Result) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("#", "at", "for", "wait to place", "wait to read", "refusals"):
        table.add_column(name, justify="right")
    table.add_column("fault")
    for one in result.faults:
        seen = result.outage(one)
        table.add_row(
            str(one.fault.number),
            f"{one.began_s or 0:.1f} s",
            f"{(one.ended_s or 0) - (one.began_s or 0):.1f} s",
            f"{seen['longest_wait_to_place_s']:.1f} s",
            f"{seen['longest_wait_to_read_s']:.1f} s",
            str(seen["refusals"]),
            _what(one),
        )
    return table


def _what(one: Inflicted) -> str:
    return one.fault.words + (f" (could not be done: {one.trouble})" if one.trouble else "")


def _counted(console: Console, name: str, counts: Counter[str]) -> None:
    parts = [f"{count:,} {what}" for what, count in sorted(counts.items(), key=lambda item: -item[1])]
    console.print(f"{name}: {', '.join(parts) or 'none'}", highlight=False, soft_wrap=True)


def _found(console: Console, name: str, found: Sequence[str]) -> None:
    console.print(Text(f"{len(found):,} {name}", style="bold red" if found else "bold green"))
    for text in found[:_SHOWN]:
        console.print(Text(f"  {text}"), soft_wrap=True)
    if len(found) > _SHOWN:
        console.print(f"  and {len(found) - _SHOWN:,} more (all of them are in the --json file)")
