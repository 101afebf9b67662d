"""The findings as a table for people and as a document for programs."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

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
    console.print(_figures(ledger))
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


def _figures(ledger: Ledger) -> Table:
    whose = list(dict.fromkeys(key.who for key in ledger.values))
    table = Table(title="Medians, for this machine as it was just now", title_justify="left")
    table.add_column("figure")
    table.add_column("")
    for who in whose:
        table.add_column(who, justify="right")
    for figure in dict.fromkeys(key.figure for key in ledger.values):
        cells = (ledger.median(Key(figure, who)) for who in whose)
        table.add_row(figure, ledger.units[figure], *("" if one is None else number(one) for one in cells))
    return table
