"""Ways to reach a user outside the shop: what a channel is, and which one the settings name."""

from typing import Protocol

from msgspec import Struct

from user_svc.settings import UserSettings


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


def outbound(settings: UserSettings) -> Channel | None:
    """The channel that the settings name; None where notifications stay inside the shop."""
    if not settings.smtp_url:
        return None
    from user_svc.smtp import Smtp  # a megabyte, which a shop that sends no mail need not have

    return Smtp(settings.smtp_url, settings.mail_from, settings.smtp_timeout_s)
