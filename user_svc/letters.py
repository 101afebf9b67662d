"""What is sent to users outside the shop, and what a channel that sends it is."""

from typing import Protocol

from msgspec import Struct


class Letter(Struct, frozen=True, kw_only=True):
    """Something to send. `key` is the same whenever the same thing is sent again."""

    key: str
    to: str
    subject: str
    text: str


class NotSent(Exception):
    """A letter could not be handed over; `for_good` where trying again makes no sense."""

    def __init__(self, detail: str, *, for_good: bool = False) -> None:
        super().__init__(detail)
        self.for_good = for_good


class Channel(Protocol):
    """A way to reach somebody."""

    async def send(self, letter: Letter) -> None:
        """Hand a letter over. Raises `NotSent`."""
        ...
