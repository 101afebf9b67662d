"""What clients see: every request with its answer, and what it comes to while something is broken."""

from collections import Counter
from collections.abc import Iterable, Sequence
from time import monotonic
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

ANSWER_WITHIN_S = 10.0
"""So long a client waits for one answer before it asks again."""


class Asked(Struct, frozen=True):
    """One request, seconds from the beginning of the run, with its status; 0: no answer came."""

    what: str
    """The method and the kind of path: `POST /orders`."""
    began_s: float
    ended_s: float
    status: int
    detail: str = ""


class Wanted(Struct, frozen=True):
    """Something that a client wanted and asked for until it was answered or it gave up."""

    what: str
    began_s: float
    ended_s: float
    answered: bool


class Journal:
    """All requests of a run, noted as they end."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.requests: list[Asked] = []
        self.wants: list[Wanted] = []

    def now(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self.started

    def errors(self) -> list[Asked]:
        """Answers that nobody may ever get: 500 and its like, but not 503, which says when to ask again."""
        return [one for one in self.requests if one.status >= 500 and one.status != 503]

    def statuses(self) -> Counter[str]:
        """How many requests were answered how; `no answer` among them."""
        return Counter(str(one.status) if one.status else "no answer" for one in self.requests)


class Watching(httpx.AsyncHTTPTransport):
    """Sends requests as usual and notes in a journal how each ended."""

    def __init__(self, journal: Journal, *, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        super().__init__(limits=limits)
        self._journal = journal

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, read as a whole."""
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write"), ANSWER_WITHIN_S)
        began_s, what = self._journal.now(), f"{request.method} {kind_of(str(request.url))}"
        try:
            response = await super().handle_async_request(request)
            await response.aread()
        except httpx.TransportError as error:
            self._note(what, began_s, 0, type(error).__name__)
            raise
        detail = response.text[:300] if response.status_code >= 500 else ""
        self._note(what, began_s, response.status_code, detail)
        return response

    def _note(self, what: str, began_s: float, status: int, detail: str) -> None:
        self._journal.requests.append(Asked(what, began_s, self._journal.now(), status, detail))


def kind_of(url: str) -> str:
    """A path without what is one thing's own: `/orders/018f-...` is `/orders/ID`."""
    parts = urlsplit(url).path.strip("/").split("/")
    return "/" + "/".join("ID" if any(sign.isdigit() for sign in part) else part for part in parts)


def longest_wait(wants: Iterable[Wanted], what: str, began_s: float, ended_s: float) -> float:
    """The longest that a client waited for something, from its first try to the answer, in seconds.

    Counted is whoever waited at some moment while the fault went on, unanswered ones until they gave up.
    """
    return max(
        (
            one.ended_s - one.began_s
            for one in wants
            if one.what == what and one.began_s < ended_s and began_s < one.ended_s
        ),
        default=0.0,
    )


def refusals(requests: Sequence[Asked], began_s: float, ended_s: float) -> int:
    """How many requests that ended in a span of time were refused with 503, or not answered at all."""
    return sum(began_s <= one.ended_s <= ended_s and one.status in (0, 503) for one in requests)
