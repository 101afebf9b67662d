"""What a scenario is: something to try, the end it should come to, and a record of what happened."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from ops.demo.stage import Stage
from ops.shop import Order


@dataclass
class Record:
    """Filled in by a scenario while it runs."""

    orders: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    steps: list[tuple[str, float]] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; one that fails is timed as well."""
        started = perf_counter()
        try:
            yield
        finally:
            self.steps.append((name, (perf_counter() - started) * 1000))

    def accepted(self, order: Order) -> None:
        """The shop took an order and gave it an id."""
        if order.id not in self.orders:
            self.orders.append(order.id)

    def ended(self, *ends: Order | str) -> None:
        """What it came to: orders as they are now, or the shop's refusal in words."""
        for end in ends:
            if isinstance(end, str):
                self.ends.append(end)
                continue
            self.accepted(end)
            self.ends.append(end.status)
            if end.reason is not None and end.reason not in self.reasons:
                self.reasons.append(end.reason)

    def check(self, holds: bool, otherwise: str) -> None:
        """Something else that must hold, told in words where it does not."""
        if not holds:
            self.misses.append(otherwise)


@dataclass(frozen=True)
class Scenario:
    """One row of the demo. `ends` and `reasons` say how it must come out, in order.

    `stops` names the server or the service that is stopped or restarted meanwhile: where it is not run from
    here, the scenario is left out.
    """

    tried: str
    ends: tuple[str, ...]
    reasons: tuple[str, ...]
    run: Callable[[Stage, Record], Awaitable[None]]
    stops: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A scenario that was run."""

    scenario: Scenario
    record: Record

    @property
    def met(self) -> bool:
        """Whether all came out as it must."""
        record, scenario = self.record, self.scenario
        return (
            tuple(record.ends) == scenario.ends
            and tuple(record.reasons) == scenario.reasons
            and not record.misses
        )

    def document(self) -> dict[str, Any]:
        """This row as JSON."""
        return {
            "tried": self.scenario.tried,
            "orders": self.record.orders,
            "expected": list(self.scenario.ends),
            "expected_reasons": list(self.scenario.reasons),
            "actual": self.record.ends,
            "reasons": self.record.reasons,
            "steps": [{"step": name, "ms": round(ms, 1)} for name, ms in self.record.steps],
            "misses": self.record.misses,
            "met": self.met,
        }


async def play(scenario: Scenario, stage: Stage) -> Outcome:
    """Run a scenario; whatever it raises is a miss of its own, so that the others still run."""
    record = Record()
    try:
        await scenario.run(stage, record)
    except Exception as error:  # told in the table as a miss, and the exit code follows
        record.misses.append(f"{type(error).__name__}: {error}")
    return Outcome(scenario, record)
