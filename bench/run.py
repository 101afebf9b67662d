"""What every measurement is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Ledger
from bench.ground import Ground


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark: where it measures, how much, and where it keeps what it finds."""

    ground: Ground
    ledger: Ledger
    rounds: int
    quick: bool
    say: Callable[[str], None]
    csv: Path | None = None

    def size(self, full: int, quick: int) -> int:
        """How much of something: a good deal, or just enough to see that it works."""
        return quick if self.quick else full
