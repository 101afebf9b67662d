"""What the supervisor is asked to keep running."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Program:
    """One process: its command, what it adds to the environment, and how long it may take to stop."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    stop_within_s: float = 30.0
