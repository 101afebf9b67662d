"""Tickets for event streams: a browser's EventSource can send no header, so its address says who asks.

An address is written into logs and histories, so what it holds must be worth nothing afterwards: a ticket is
good for one stream, at one path, within half a minute, and once. It is signed with a key that all gateways
have and that nobody is told; which ones have been used they tell one another in passing.
"""

import base64
import hashlib
import hmac
import secrets
import time
from urllib.parse import urlsplit
from weakref import WeakSet

import msgspec
from msgspec import Struct

from gateway.door.requests import User
from shared.errors import Unauthorized
from shared.messages import View

GOOD_FOR_S = 30
MOST_USED = 100_000
"""Used tickets remembered at once, of the last half minute."""
LONGEST = 2048


class Ticket(Struct, frozen=True):
    """Who may open which stream, until when (seconds of the Unix time)."""

    id: str
    path: str
    ends: float
    user: User


class TicketHeard(View, of="gateway.ticket_used", frozen=True):
    """A ticket that has been used at another gateway."""

    ticket: str
    ends: float


class Tickets:
    """Makes tickets, and takes each once. `key` is the same at all gateways."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._used: dict[str, float] = {}
        known.add(self)

    def make(self, user: User, path: str, now: float | None = None) -> str:
        """A ticket for a user and a path."""
        ends = (time.time() if now is None else now) + GOOD_FOR_S
        said = msgspec.json.encode(Ticket(secrets.token_hex(12), path, ends, user))
        return base64.urlsafe_b64encode(self._signature(said) + said).decode().rstrip("=")

    def take(self, text: str, path: str, now: float | None = None) -> Ticket:
        """The ticket that a text is; it is used up by that. Raises `Unauthorized`."""
        now = time.time() if now is None else now
        ticket = self._read(text) if len(text) <= LONGEST else None
        if ticket is None or ticket.path != path or not now < ticket.ends <= now + 2 * GOOD_FOR_S:
            raise Unauthorized("This ticket is not good for this stream, or has ended: get another one.")
        if ticket.id in self._used:
            raise Unauthorized("This ticket has been used: get another one.")
        self.note(ticket.id, ticket.ends, now)
        return ticket

    def note(self, ticket: str, ends: float, now: float | None = None) -> None:
        """A ticket has been used, here or elsewhere."""
        now = time.time() if now is None else now
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest] > now and len(self._used) < MOST_USED:
                break
            del self._used[oldest]
        self._used[ticket] = min(ends, now + 2 * GOOD_FOR_S)

    def _read(self, text: str) -> Ticket | None:
        try:
            octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        signature, said = octets[:32], octets[32:]
        if not hmac.compare_digest(signature, self._signature(said)):
            return None
        try:
            return msgspec.json.decode(said, type=Ticket)
        except (ValueError, msgspec.DecodeError):
            return None

    def _signature(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")


def key_from(amqp_url: str) -> bytes:
    """A key that all gateways have: it follows from what they sign in to the broker with."""
    try:
        password = urlsplit(amqp_url.split(",")[0].strip()).password
    except ValueError:
        password = None
    if not password:
        return secrets.token_bytes(32)
    return hashlib.sha256(f"tickets of event streams {password}".encode()).digest()


known: WeakSet[Tickets] = WeakSet()
"""Whatever in this process is to be told of it: one, but in tests."""


def ticket_used(heard: TicketHeard) -> None:
    """Another gateway has taken it."""
    for tickets in tuple(known):
        tickets.note(heard.ticket, heard.ends)
