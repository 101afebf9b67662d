"""The table of ratios, and figures over others, as pictures (SVG)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.figures import Aim, Ledger


def draw(path: Path, ledger: Ledger, aims: Sequence[Aim]) -> None:
    """How far every aim is reached: 1 is what is asked, more is better, whichever way the aim points."""
    # Of the benchmark's own group of dependencies: where only the tests' are installed, there is none.
    import pygal  # pyright: ignore[reportMissingImports]
    from pygal.style import CleanStyle  # pyright: ignore[reportMissingImports]

    chart = pygal.HorizontalBar(
        js=(),
        style=CleanStyle,
        show_legend=False,
        logarithmic=False,
        print_values=True,
        height=60 + 34 * len(aims),
    )
    chart.title = "Reached, by what is asked (1 = just so; more is better)"
    drawn = [(aim, reached) for aim in reversed(aims) if (reached := ledger.reached(aim)) is not None]
    chart.x_labels = [f"{aim.text} ({aim.asked})" for aim, _ in drawn]
    chart.add(
        "",
        [
            {"value": round(share, 2), "color": "#2a7f62" if share >= 1 else "#b5483a"}
            for share in (_share(aim, reached) for aim, reached in drawn)
        ],
    )
    path.write_bytes(chart.render())


class Curve(NamedTuple):
    """A figure by another one."""

    name: str
    points: list[tuple[float, float]]


def draw_curves(path: Path, title: str, left: Sequence[Curve], right: Sequence[Curve]) -> None:
    """Curves over one axis; those on the right have a scale of their own."""
    import pygal  # pyright: ignore[reportMissingImports]
    from pygal.style import CleanStyle  # pyright: ignore[reportMissingImports]

    chart = pygal.XY(js=(), style=CleanStyle, legend_at_bottom=True, height=420)
    chart.title = title
    for curve in left:
        chart.add(f"{curve.name}/s", curve.points)
    for curve in right:
        chart.add(f"{curve.name} (ms, right)", curve.points, secondary=True)
    path.write_bytes(chart.render())


def _share(aim: Aim, reached: float) -> float:
    if aim.at_least is not None:
        return reached / aim.at_least
    return (aim.at_most or 0.0) / reached if reached else 0.0
