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
    part: int = 1
    """What is quick may be made smaller still, to see in a test that it works."""

    def size(self, full: int, quick: int) -> int:
        """How much of something: a good deal, or just enough to see that it works."""
        return max(1, quick // self.part) if self.quick else full
