"""Column charts: where each column stands and how high it is. Pure; across in percent, down in pixels."""

import math
from collections.abc import Sequence

from msgspec import Struct

HEIGHT = 230
TOP, BOTTOM = 12, 26
"""Room above the highest column, and below the lowest for the labels."""
MOST_LABELS = 6
FILLED = 0.74
"""How much of its place a column fills."""


class Column(Struct, frozen=True):
    """A column: `y` and `height` of what counts, and the height of what was taken back, below the line."""

    x: float
    width: float
    y: float
    height: float
    below: float
    says: str


class Mark(Struct, frozen=True):
    """A line across at `at`, or a label below a column at `at` percent."""

    at: float
    text: str


class Chart(Struct, frozen=True):
    """A chart ready to be drawn."""

    height: int
    zero: float
    columns: list[Column]
    lines: list[Mark]
    labels: list[Mark]


class Value(Struct, frozen=True):
    """What a column stands for: its label, how much, how much was taken back, and all of it in words."""

    label: str
    amount: int
    taken_back: int
    says: str


def columns(values: Sequence[Value]) -> Chart:
    """The chart of some values."""
    step = _step(max([value.amount for value in values] + [value.taken_back for value in values] + [1]))
    above = max(math.ceil(max([value.amount for value in values] + [1]) / step), 1)
    below = math.ceil(max([value.taken_back for value in values] + [0]) / step)
    unit = (HEIGHT - TOP - BOTTOM) / ((above + below) * step)
    zero = TOP + above * step * unit
    place = 100 / max(len(values), 1)
    return Chart(
        HEIGHT,
        round(zero, 1),
        [
            Column(
                x=round(place * (number + (1 - FILLED) / 2), 3),
                width=round(place * FILLED, 3),
                y=round(zero - value.amount * unit, 1),
                height=round(value.amount * unit, 1),
                below=round(value.taken_back * unit, 1),
                says=value.says,
            )
            for number, value in enumerate(values)
        ],
        [
            Mark(round(zero - number * step * unit, 1), _short(number * step))
            for number in range(-below, above + 1)
        ],
        _labels(values, place),
    )


def _labels(values: Sequence[Value], place: float) -> list[Mark]:
    """So many that they can be told apart on a telephone."""
    every = max(math.ceil(len(values) / MOST_LABELS), 1)
    return [
        Mark(round(place * (number + 0.5), 2), value.label)
        for number, value in enumerate(values)
        if number % every == every // 2
    ]


def _step(most: int) -> int:
    """A round step that is reached three to six times on the way to `most`."""
    rough = max(most / 4, 1)
    power = 10 ** math.floor(math.log10(rough))
    return next(int(factor * power) for factor in (1, 2, 5, 10) if factor * power >= rough)


def _short(amount: int) -> str:
    """1,500,000 as 1.5M."""
    if amount < 0:
        return f"−{_short(-amount)}"  # noqa: RUF001  a true minus sign
    for unit, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if amount >= unit:
            return f"{amount / unit:g}{letter}"
    return str(amount)
