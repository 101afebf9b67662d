"""Connections of the HTTP server: how many there may be, how long each may take, what is refused at once.

The server by itself waits for ever for a request that is never finished, and takes connections until the
process can open no more. One look a second at all of them costs less than a timer for each.
"""

import asyncio
import logging
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from typing import NamedTuple

import msgspec
from httptools import HttpRequestParser
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared import metrics
from shared.certificates import peer_names
from shared.clients import Network, is_within
from shared.errors import Malformed, Overloaded, ProblemDetails, Unavailable
from shared.logs import log

_REFUSED = metrics.REQUESTS_REFUSED.labels("overloaded")
PEER = "sagamart.peer"
"""The extension of a request's scope that says whose certificate came with it; only over TLS."""
LOOK_S = 1.0
SAY_EACH_S = 10.0
HEAD_BYTES = 64 * 1024
"""What a request's head may take, about; the server by itself takes any."""
_STRANGERS_DOING = ("Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket")
"""Of what the server tells in its log each time; `Connections.say` tells it now and then."""
FILES_KEPT = 256
"""Of the files that a process may open, so many are for others than its clients."""


class _Refusal(NamedTuple):
    """An answer of the server's own, in front of and behind the headers that all answers have."""

    head: bytes
    tail: bytes

    def dressed(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole of it."""
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([self.head, *lines, self.tail])


def _refusal(details: ProblemDetails, *, closes: bool = True) -> _Refusal:
    body = msgspec.json.encode(details)
    head = f"HTTP/1.1 {details.status} {HTTPStatus(details.status).phrase}\r\n"
    head += "content-type: application/problem+json\r\n"
    if details.retry_after is not None:
        head += f"retry-after: {details.retry_after}\r\n"
    if closes:
        head += "connection: close\r\n"
    return _Refusal(head.encode(), f"content-length: {len(body)}\r\n\r\n".encode() + body)


def _plain(status: int, detail: str) -> _Refusal:
    phrase = HTTPStatus(status).phrase
    kind = f"/problems/{phrase.lower().replace(' ', '-')}"
    return _refusal(ProblemDetails(type=kind, title=phrase, status=status, detail=detail))


def undressed(scheme: str, peer: str, asked: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """The headers of answers that need none besides their own."""
    return ()


NOT_HTTP = _refusal(Malformed("This is no HTTP request that can be read.").details())
TOO_MANY = _refusal(Unavailable("There are too many connections; try again later.").details())
OVERLOADED = [_refusal(Overloaded(retry_after=seconds).details(), closes=False) for seconds in (1, 2, 3)]
TOO_LARGE = _plain(431, f"The head of a request may have {HEAD_BYTES} octets at most.")
TOO_SLOW = _plain(408, "The request has taken too long to arrive.")


Early = Callable[[str, str, Iterable[tuple[bytes, bytes]]], Sequence[tuple[bytes, bytes]]]
"""The headers of an answer to who asks over a scheme, from an address, with these headers."""


class Limits(Struct, frozen=True):
    """What a connection may take, in seconds; how many there may be, in all and of one address (0: any)."""

    head_s: float
    body_s: float
    idle_s: float
    most: int
    most_of_address: int
    counts_loopback: bool = False


class Connections:
    """The connections of this process."""

    def __init__(
        self,
        limits: Limits,
        refuses: Callable[[bytes, bytes], bool] = lambda method, target: False,
        *,
        proxies: tuple[Network, ...] = (),
        early: Early = undressed,
    ) -> None:
        self.limits = limits
        self.early = early
        """The headers of what is answered here."""
        self._proxies = proxies
        """Peers whose connections are those of many."""
        self.refuses = refuses
        """Whether a request, by method and target, is not to be worked on at present."""
        self.open: set[_Connection] = set()
        self._of_address: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._said_at = float("-inf")
        self._looking: asyncio.TimerHandle | None = None

    def protocol(self) -> type[HttpToolsProtocol]:
        """The server's protocol, kept within these limits."""
        logging.getLogger("uvicorn.error").addFilter(_is_not_a_strangers_doing)
        return type("Connection", (_Connection,), {"all": self})

    def add(self, one: "_Connection") -> bool:
        """Count a connection in; False where there is no room for it."""
        limits, address = self.limits, one.address
        is_counted = limits.most_of_address > 0 and (limits.counts_loopback or not _is_loopback(address))
        if self._proxies and is_within(address, self._proxies):
            is_counted = False
        if is_counted and self._of_address[address] >= limits.most_of_address:
            self.say("too many of one address", address)
            return False
        if len(self.open) >= limits.most:
            self.say("too many", address)
            return False
        self._of_address[address] += 1
        self.open.add(one)
        metrics.CONNECTIONS.inc()
        if self._looking is None:
            self._look_later()
        return True

    def remove(self, one: "_Connection") -> None:
        """It is closed."""
        if one not in self.open:
            return
        self.open.discard(one)
        metrics.CONNECTIONS.dec()
        self._of_address[one.address] -= 1
        if not self._of_address[one.address]:
            del self._of_address[one.address]

    def say(self, why: str, address: str) -> None:
        """Tell that a connection was refused or closed: in the metrics each time, in the log now and then."""
        metrics.REQUESTS_REFUSED.labels(why).inc()
        self._ended[why] += 1
        if time.monotonic() - self._said_at >= SAY_EACH_S:
            self._say_all(address)

    def _say_all(self, address: str) -> None:
        log.warning("http.connections_refused", **self._ended, open=len(self.open), last_address=address)
        self._ended.clear()
        self._said_at = time.monotonic()

    def _look_later(self) -> None:
        limits = self.limits
        pause = min(LOOK_S, limits.head_s / 4, limits.body_s / 4, limits.idle_s / 4)
        self._looking = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for one in list(self.open):
            if (why := one.too_long(now, self.limits)) is not None:
                one.end()
                self.say(why, one.address)
        if self._ended and now - self._said_at >= SAY_EACH_S:
            self._say_all("")
        self._looking = None
        if self.open or self._ended:
            self._look_later()


class _Connection(HttpToolsProtocol):
    """One connection, which knows what it waits for and since when."""

    all: Connections
    address = ""
    _peer: frozenset[str] | None = None
    """Whose certificate the other end has shown, where it could."""
    _is_refused = False
    _is_skipping = False
    """Whether what comes now is the rest of a request that was refused."""
    _waits_for: str | None = None
    _since = 0.0
    _head_bytes = 0
    _unread_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._peer = peer_names(transport.get_extra_info("ssl_object"))
        self._waits_for, self._since = "head", time.monotonic()
        if not self.all.add(self):
            self._is_refused = True
            self._say(TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.all.remove(self)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if self._waits_for == "head":
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.all.say("head too large", self.address)
                self._is_refused = True
                self._say(TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._peer is not None:
            self.scope["extensions"] = {PEER: {"names": self._peer}}
        if self._waits_for is None:
            self._waits_for, self._since = "head", time.monotonic()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._waits_for, self._since = "body", time.monotonic()
        is_first = self.cycle is None or self.cycle.response_complete
        if is_first and self.parser and self.all.refuses(self.parser.get_method(), self.url):
            self._refuse(self.parser)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_skipping:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._waits_for = None
        if self._is_skipping:
            self._is_skipping = False
        else:
            super().on_message_complete()

    def _refuse(self, request: HttpRequestParser) -> None:
        """Answer here and now: the app, for which a task and more would be made, hears nothing of it."""
        _REFUSED.inc()
        self._is_skipping = True
        self._say(random.choice(OVERLOADED), self.headers)  # noqa: S311  no secret
        if request.get_http_version() == "1.0" or not request.should_keep_alive():
            self.transport.close()

    def on_response_complete(self) -> None:
        self._since = time.monotonic()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self.all.say("not HTTP", self.address)
        self._say(NOT_HTTP)
        self.transport.close()

    def _say(self, refusal: _Refusal, asked: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.transport.write(refusal.dressed(self.all.early(self.scheme or "http", self.address, asked)))

    def pause_writing(self) -> None:
        self._unread_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def too_long(self, now: float, limits: Limits) -> str | None:
        """For what this connection has taken longer than it may, if it has."""
        if self._unread_since is not None and now - self._unread_since > limits.body_s:
            return "answer not read"
        age = now - self._since
        if self._waits_for == "head":
            return "head too slow" if age > limits.head_s else None
        if self._waits_for == "body":
            # While reading is paused, it is us for whom it waits.
            return "body too slow" if age > limits.body_s and not self.flow.read_paused else None
        is_answered = self.cycle is None or self.cycle.response_complete
        return "idle" if is_answered and age > limits.idle_s else None

    def end(self) -> None:
        """Close it; who is in the middle of a request is told why."""
        is_answering = self.cycle is not None and self.cycle.response_started
        if self._waits_for is not None and (not is_answering or self.cycle.response_complete):
            self._say(TOO_SLOW)
        if self._unread_since is None:
            self.transport.close()
        else:
            self.transport.abort()


def _is_not_a_strangers_doing(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log may come as often as it does."""
    return not record.getMessage().startswith(_STRANGERS_DOING)


def allow_files(connections: int) -> int:
    """Let this process open all files that it may; returns how many of these connections it can have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return connections if hard == resource.RLIM_INFINITY else max(1, min(connections, hard - FILES_KEPT))


@lru_cache(1024)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # a socket of another family, which only this machine can reach
        return True
