"""The demo's table."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ops.demo.scenario import Outcome


def table(outcomes: Sequence[Outcome]) -> Table:
    """One row per scenario; what did not come out as it must stands below it in red."""
    drawn = Table(title="What was tried and what came of it", title_justify="left", show_lines=True)
    drawn.add_column("")
    drawn.add_column("tried", ratio=3, min_width=20)
    drawn.add_column("order", no_wrap=True)
    drawn.add_column("expected")
    drawn.add_column("actual")
    drawn.add_column("reason")
    drawn.add_column("ms per step", ratio=3, min_width=20)
    for outcome in outcomes:
        drawn.add_row(*_row(outcome))
    return drawn


def _row(outcome: Outcome) -> tuple[Text, ...]:
    scenario, record = outcome.scenario, outcome.record
    mark = Text("ok", style="green") if outcome.met else Text("NO", style="bold red")
    tried = Text(scenario.tried)
    for miss in record.misses:
        tried.append(f"\n{miss}", style="red")
    expected = [*scenario.ends, *(f"({reason})" for reason in scenario.reasons)]
    steps = ", ".join(f"{name} {ms:,.0f}" for name, ms in record.steps)
    return (
        mark,
        tried,
        Text("\n".join(record.orders) or "-"),
        Text("\n".join(expected)),
        Text("\n".join(record.ends) or "-", style="" if outcome.met else "red"),
        Text("\n".join(record.reasons) or "-"),
        Text(steps),
    )
