"""Access tokens that do not count any more though they have not expired: told by events, and asked for.

An event may be lost, so what has ended is asked for as well, and a place in that list is used again for a
minute: entries are numbered before they can be seen, and one with a lower number may appear later.
"""

import time
from collections import deque
from weakref import WeakSet

from gateway.door.requests import User
from shared.messages import View

MOST_USERS = 100_000
MOST_SESSIONS = 100_000
"""Of users and of sign-ins each; then the oldest are forgotten. A minute's sign-outs are some thousands."""
SETTLED_S = 60.0
"""So old, a place in the list has nothing to come before it."""


class TokensEnded(View, of="user.tokens_ended", frozen=True):
    """Tokens of a sign-in, or all of a user's of a generation before `below`, do not count any more."""

    user_id: int
    session_id: str | None
    below: int


class EndedTokens:
    """What this process knows to have ended."""

    def __init__(self) -> None:
        self._below: dict[int, int] = {}
        self._sessions: dict[str, None] = {}
        self._places: deque[tuple[float, int]] = deque([(float("-inf"), 0)])
        known_by.add(self)

    def includes(self, user: User) -> bool:
        """Whether the token that says this has ended."""
        return user.session in self._sessions or user.generation < self._below.get(user.id, 0)

    def note(self, user_id: int, session_id: str | None, below: int) -> None:
        """Something has ended; heard once more, it changes nothing."""
        if session_id is not None:
            self._sessions[session_id] = None
            if len(self._sessions) > MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            return
        # Taken out first: who is noted last is forgotten last.
        self._below[user_id] = max(below, self._below.pop(user_id, 0))
        if len(self._below) > MOST_USERS:
            del self._below[next(iter(self._below))]

    def ask_from(self, now: float | None = None) -> int:
        """The place in the list to ask from: the latest of those that are old enough."""
        now = time.monotonic() if now is None else now
        while len(self._places) > 1 and self._places[1][0] <= now - SETTLED_S:
            self._places.popleft()
        return self._places[0][1]

    def got_to(self, place: int, now: float | None = None) -> None:
        """The list has been read up to here."""
        self._places.append((time.monotonic() if now is None else now, place))


known_by: WeakSet[EndedTokens] = WeakSet()
"""Whatever in this process is to be told of it: one, but in tests."""


def tokens_ended(event: TokensEnded) -> None:
    """Those tokens do not count here from now on."""
    for ended in tuple(known_by):
        ended.note(event.user_id, event.session_id, event.below)
