"""An order's timeline as a picture: where each step's bar begins and how wide it is. Pure, in percent.

Long pauses in which nothing happened (a buyer who pays an hour later) are drawn short, and marked, so that
the steps around them can be seen.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeAlias

from msgspec import Struct

from query_svc.contracts import Step, Timeline

PAUSE_SHARE = 0.2
"""As how much of all the time in which something happened a pause that is longer than that is drawn."""
NARROWEST = 0.4
FRAMES = 100
"""A bar that still grows does so in steps of this part of its length, or of a second: often enough to see."""


Span: TypeAlias = tuple[datetime, datetime]


class Bar(Struct, frozen=True):
    """One step: its bar from `x`, `width` wide, and for a step backwards where its arrow points to.

    A step without any width was done in no time: a point.
    """

    step: Step
    x: float
    width: float
    back_to: float | None
    after_pause: timedelta | None


class Picture(Struct, frozen=True):
    """A timeline's bars, in the order in which the steps began, and the time that they span."""

    bars: list[Bar]
    pauses: list[float]
    seconds: float


def draw(timeline: Timeline, now: datetime) -> Picture:
    """The picture of a timeline as it is `now`."""
    steps = timeline.steps
    if not steps:
        return Picture([], [], 0.0)
    begin = min(step.started_at for step in steps)
    now = _framed(begin, now)
    ends = [step.ended_at or max(now, step.started_at) for step in steps]
    spans = _busy(steps, ends)
    busy = max(sum((end - start for start, end in spans), timedelta()), timedelta(milliseconds=1))
    place = _scale(spans, busy)
    bars: list[Bar] = []
    for step, end in zip(steps, ends, strict=True):
        x = place(step.started_at)
        width = max(place(end) - x, NARROWEST) if end > step.started_at else 0.0
        x = min(x, 100 - width)
        pause = _pause(step, spans, busy)
        bars.append(Bar(step, round(x, 2), round(width, 2), _taken_back(step, bars), pause))
    pauses = [
        round((place(one[1]) + place(two[0])) / 2, 2)
        for one, two in pairwise(spans)
        if two[0] - one[1] > busy
    ]
    return Picture(bars, pauses, (max(ends) - begin).total_seconds())


def _framed(begin: datetime, now: datetime) -> datetime:
    passed = max((now - begin).total_seconds(), 0.0)
    frame = max(passed / FRAMES, 1.0)
    return begin + timedelta(seconds=passed // frame * frame)


def _taken_back(step: Step, before: Sequence[Bar]) -> float | None:
    """Where the service's first step forwards began: a step backwards brings things back to there."""
    if not step.backwards:
        return None
    forwards = [bar for bar in before if bar.step.service == step.service and not bar.step.backwards]
    return forwards[0].x if forwards else 0.0


def _busy(steps: Sequence[Step], ends: Sequence[datetime]) -> list[Span]:
    """The spans of time in which any step was under way, in order."""
    spans: list[Span] = []
    for start, end in sorted(zip((step.started_at for step in steps), ends, strict=True)):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def _pause(step: Step, spans: Sequence[Span], busy: timedelta) -> timedelta | None:
    """How long nothing had happened before this step, where that is a pause which is drawn short."""
    for one, two in pairwise(spans):
        if two[0] == step.started_at and two[0] - one[1] > busy:
            return two[0] - one[1]
    return None


def _scale(spans: Sequence[Span], busy: timedelta) -> Callable[[datetime], float]:
    """A time as percent of the picture's width."""
    marks: list[tuple[datetime, float]] = []
    reached = 0.0
    for start, end in spans:
        if marks:
            pause = start - marks[-1][0]
            reached += (pause if pause <= busy else busy * PAUSE_SHARE).total_seconds()
        marks.append((start, reached))
        reached += (end - start).total_seconds()
        marks.append((end, reached))
    whole = reached or 1.0

    def place(at: datetime) -> float:
        earlier = [mark for mark in marks if mark[0] <= at][-1]
        later = next((mark for mark in marks if mark[0] >= at), earlier)
        length = (later[0] - earlier[0]).total_seconds()
        share = (at - earlier[0]).total_seconds() / length if length else 0.0
        return (earlier[1] + share * (later[1] - earlier[1])) / whole * 100

    return place
