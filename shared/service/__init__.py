"""What a service is made of, and the process that it runs in."""

from shared.service.app import run
from shared.service.service import Rank, Service, answer, every, hear, hear_everything, tap
from shared.settings import Positive, Settings, load

__all__ = [
    "Positive",
    "Rank",
    "Service",
    "Settings",
    "answer",
    "every",
    "hear",
    "hear_everything",
    "load",
    "run",
    "tap",
]
