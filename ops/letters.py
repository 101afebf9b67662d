"""Dead letters over the shop's HTTP door, for the commands `dead` and `redrive`, signed in as the admin."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ops.as_admin import as_admin
from ops.commands import at_least
from ops.shop import PAGE, Session
from query_svc.dead_letters.contracts import (
    Acted,
    DeadLetter,
    DeadLetterDetails,
    DeadLetterGroup,
    DeadLetterGroupPage,
    DeadLetterPage,
)

T = TypeVar("T")
_GROUP_DIGITS = 16


class DeadLetters:
    """What an admin can see of dead letters, and do about them."""

    def __init__(self, admin: Session) -> None:
        self._admin = admin

    async def groups(self, *, everything: bool = False) -> list[DeadLetterGroup]:
        """All groups in which a letter waits; with `everything` those that are done with too."""
        query = {"all": "true" if everything else "false"}
        return await self._pages("/ops/dead-letters/groups", query, DeadLetterGroupPage)

    async def of_group(self, group: str, *, everything: bool = False) -> list[DeadLetter]:
        """The letters of a group, newest first: those that wait, or everything."""
        query = {"group": group} if everything else {"group": group, "state": "DEAD"}
        return await self._pages("/ops/dead-letters", query, DeadLetterPage)

    async def about(self, correlation_id: str) -> list[DeadLetter]:
        """The letters about an order (its id is their correlation id), newest first."""
        return await self._pages("/ops/dead-letters", {"correlation_id": correlation_id}, DeadLetterPage)

    async def one(self, number: int) -> DeadLetterDetails:
        """One letter with its body; Refused 404 if there is none of that number."""
        return await self._ask("GET", f"/ops/dead-letters/{number}", DeadLetterDetails)

    async def redrive(
        self, *, ids: Sequence[int] | None = None, group: str | None = None, everything: bool = False
    ) -> Acted:
        """Send letters back to the queues they failed in."""
        given = {"ids": ids, "group": group, "all": everything or None}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._ask("POST", "/ops/dead-letters/redrive", Acted, body)

    async def discard(
        self, reason: str, *, ids: Sequence[int] | None = None, group: str | None = None
    ) -> Acted:
        """Give letters up."""
        given = {"ids": ids, "group": group, "reason": reason}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._ask("POST", "/ops/dead-letters/discard", Acted, body)

    async def under_way(self) -> int:
        """How many letters are to be sent back and have not reached their queues yet."""
        return sum(group.redriving for group in await self.groups())

    async def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        answer = await self._admin.send(method, path, body=body)
        return msgspec.json.decode(answer.content, type=kind)

    async def _pages(self, path: str, query: dict[str, str], kind: type[Any]) -> list[Any]:
        found: list[Any] = []
        after: dict[str, int] = {}
        while True:
            answer = await self._admin.send("GET", path, query={**query, **after, "limit": PAGE})
            page = msgspec.json.decode(answer.content, type=kind)
            found += page.items
            if page.next is None:
                return found
            after = {"after": page.next}


def ask(run: Callable[[DeadLetters], Awaitable[int]]) -> int:
    """Do something with the dead letters of the local run; returns an exit code, and says what went wrong."""
    return as_admin(lambda admin: run(DeadLetters(admin)))


def letter_id(text: str) -> int:
    """The id of a letter, for argparse."""
    return at_least(1, text)


def group_key(text: str) -> str:
    """The key of a group, for argparse."""
    if len(text) != _GROUP_DIGITS or not set(text) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is no group: `./just dead` shows them")
    return text
