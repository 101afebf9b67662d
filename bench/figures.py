"""What was measured, and what it is held against. Pure."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

OURS = "Sagamart"


class Key(NamedTuple):
    """Which figure of whom."""

    figure: str
    who: str


@dataclass(frozen=True, slots=True)
class Aim:
    """A ratio to reach: `of` by `over` (or `of` alone) is to be at least, or at most, so much."""

    text: str
    of: Key
    over: Key | None
    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    @property
    def asked(self) -> str:
        """What is asked for, as a person writes it."""
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(slots=True)
class Ledger:
    """Every figure of every round."""

    values: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What could not be measured, and what else a reader must know."""

    def note(self, figure: str, who: str, value: float, unit: str) -> None:
        """Keep what a round gave."""
        self.values[Key(figure, who)].append(value)
        self.units[figure] = unit

    def say(self, text: str) -> None:
        """Tell the reader something, once."""
        if text not in self.notes:
            self.notes.append(text)

    def median(self, key: Key) -> float | None:
        """The middle of all rounds; None if it was not measured."""
        values = self.values.get(key)
        return statistics.median(values) if values else None

    def reached(self, aim: Aim) -> float | None:
        """The value that an aim is about; None if a part of it was not measured.

        Rounds are paired: what slows the machine down for a while then slows both sides of a ratio.
        """
        if aim.over is None:
            return self.median(aim.of)
        pairs = list(zip(self.values.get(aim.of, []), self.values.get(aim.over, []), strict=False))
        ratios = [of / over for of, over in pairs if over]
        return statistics.median(ratios) if ratios else None


def at_share(ordered: list[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
