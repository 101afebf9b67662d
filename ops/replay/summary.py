"""What came of a replay: counted as it runs, told at the end. Pure but for printing."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops.replay.retail import RetailFile

_RANGES_SHOWN = 20
_TROUBLES_SHOWN = 10


@dataclass
class Tally:
    """Counts of one run."""

    orders: Counter[str] = field(default_factory=Counter)
    settled_s: list[float] = field(default_factory=list)
    cancellations: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def unfinished(self) -> int:
        """Orders that nobody can say the end of."""
        return self.orders["no final state"] + self.orders["no answer"]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all values do not exceed; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def document(file: RetailFile, tally: Tally) -> dict[str, Any]:
    """The summary as JSON."""
    placed = sum(tally.orders.values())
    return {
        "rows": file.rows,
        "rows_skipped": {
            reason.value: {"count": len(numbers), "lines": numbers}
            for reason, numbers in file.skipped.items()
        },
        "orders": placed,
        "orders_by_outcome": dict(sorted(tally.orders.items())),
        "orders_per_second": round(placed / tally.seconds, 1) if tally.seconds else None,
        "seconds": round(tally.seconds, 3),
        "final_state_ms": {
            "p50": _milliseconds(percentile(tally.settled_s, 0.50)),
            "p95": _milliseconds(percentile(tally.settled_s, 0.95)),
        },
        "cancellations": dict(sorted(tally.cancellations.items())),
        "troubles": tally.troubles,
    }


def show(console: Console, summary: Mapping[str, Any]) -> None:
    """Print what `document` made."""
    console.print(Group(_orders(summary), Text(), _skipped(summary)))
    for trouble in summary["troubles"][:_TROUBLES_SHOWN]:
        console.print(Text(f"  {trouble}", style="yellow"))
    if (more := len(summary["troubles"]) - _TROUBLES_SHOWN) > 0:
        console.print(f"  and {more} more (all of them are in the --json file)")


def _orders(summary: Mapping[str, Any]) -> RenderableType:
    table = Table(title="Orders", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for outcome, count in summary["orders_by_outcome"].items():
        table.add_row(outcome, f"{count:,}")
    table.add_section()
    table.add_row("orders in all", f"{summary['orders']:,}")
    table.add_row("orders/s", _or_dash(summary["orders_per_second"]))
    table.add_row("p50 to the final state, ms", _or_dash(summary["final_state_ms"]["p50"]))
    table.add_row("p95 to the final state, ms", _or_dash(summary["final_state_ms"]["p95"]))
    if summary["cancellations"]:
        table.add_section()
    for outcome, count in summary["cancellations"].items():
        table.add_row(f"C invoices: {outcome}", f"{count:,}")
    return table


def _skipped(summary: Mapping[str, Any]) -> RenderableType:
    table = Table(title=f"Rows skipped, of {summary['rows']:,}", title_justify="left")
    table.add_column("reason")
    table.add_column("rows", justify="right")
    table.add_column("lines")
    for reason, rows in summary["rows_skipped"].items():
        table.add_row(reason, f"{rows['count']:,}", _line_numbers(rows["lines"]))
    return table


def line_ranges(numbers: Sequence[int]) -> list[str]:
    """Rising line numbers as a person writes them: `3, 7-9`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]


def _line_numbers(numbers: Sequence[int]) -> str:
    ranges = line_ranges(numbers)
    shown = ", ".join(ranges[:_RANGES_SHOWN])
    return f"{shown} ... (all in the --json file)" if len(ranges) > _RANGES_SHOWN else shown


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
