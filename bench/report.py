"""The findings as a table for people and as a document for programs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from bench.figures import Aim, Key, Ledger


def show(console: Console, ledger: Ledger, aims: Sequence[Aim]) -> None:
    """Print the ratios with what is asked for, then every figure's median."""
    table = Table(title="Ratios: medians of interleaved rounds", title_justify="left")
    table.add_column("measure")
    for heading in ("ratio", "asked"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for aim in aims:
        reached = ledger.reached(aim)
        if reached is None:
            table.add_row(aim.text, "-", aim.asked, "not measured")
        else:
            table.add_row(aim.text, number(reached), aim.asked, "met" if aim.is_met(reached) else "NOT MET")
    console.print(table)
    for one in _figures(ledger):
        console.print(one)
    for note in ledger.notes:
        console.print(f"- {note}")


def document(ledger: Ledger, aims: Sequence[Aim], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything, with the values of every round."""
    return {
        "settings": settings,
        "ratios": [
            {
                "measure": aim.text,
                "asked": aim.asked,
                "reached": reached,
                "met": None if reached is None else aim.is_met(reached),
            }
            for aim, reached in ((aim, ledger.reached(aim)) for aim in aims)
        ],
        "figures": [
            {
                "figure": key.figure,
                "who": key.who,
                "unit": ledger.units[key.figure],
                "median": ledger.median(key),
                "rounds": values,
            }
            for key, values in ledger.values.items()
        ],
        "notes": ledger.notes,
    }


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _figures(ledger: Ledger) -> Iterator[Table]:
    """One table for all figures of the same contestants."""
    whose: dict[str, list[str]] = defaultdict(list)
    for key in ledger.values:
        whose[key.figure].append(key.who)
    together: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for figure, contestants in whose.items():
        together[tuple(contestants)].append(figure)
    for contestants, figures in together.items():
        table = Table("median of", Column("", justify="left"))
        for who in contestants:
            table.add_column(who, justify="right")
        for figure in figures:
            medians = (ledger.median(Key(figure, who)) for who in contestants)
            cells = ("" if median is None else number(median) for median in medians)
            table.add_row(figure, ledger.units[figure], *cells)
        yield table
