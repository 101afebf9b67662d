"""Figures of the broker's queues, read from its management API; nothing is ever changed there."""

import asyncio
import time
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Struct

from gateway.door.requests import ShopRequest
from shared.errors import Unavailable

FRESH_S = 1.0
PATIENCE_S = 3.0
_COLUMNS = (
    "name,messages_ready,messages_unacknowledged,consumers,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.ack_details.rate"
)


class Queue(Struct, frozen=True, kw_only=True):
    """A queue as it is now: what waits in it, what is being worked on, who takes, and messages a second."""

    name: str
    ready: int
    unacknowledged: int
    consumers: int
    publish_rate: float
    deliver_rate: float
    acknowledge_rate: float


class _Rate(Struct):
    rate: float = 0.0


class _Stats(Struct):
    publish_details: _Rate = msgspec.field(default_factory=_Rate)
    deliver_get_details: _Rate = msgspec.field(default_factory=_Rate)
    ack_details: _Rate = msgspec.field(default_factory=_Rate)


class _Queue(Struct):
    name: str
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    consumers: int = 0
    message_stats: _Stats = msgspec.field(default_factory=_Stats)


class Management:
    """Asks the management API. One per gateway process."""

    def __init__(self, url: str, amqp_url: str) -> None:
        self._url = url.rstrip("/")
        self._vhost = unquote(urlsplit(amqp_url).path[1:]) or "/"
        self._client: Any = None
        self._asking = asyncio.Lock()
        self._seen: tuple[float, list[Queue]] = (float("-inf"), [])

    async def queues(self) -> list[Queue]:
        """All queues by name. Raises `Unavailable` where the API is not set or does not answer."""
        if not self._url:
            raise Unavailable("The broker's management API is unknown here: SHOP_MANAGEMENT_URL is not set.")
        async with self._asking:
            if time.monotonic() - self._seen[0] > FRESH_S:
                self._seen = (time.monotonic(), await self._ask())
        return self._seen[1]

    async def _ask(self) -> list[Queue]:
        import httpx  # it costs megabytes, which a gateway that nobody asks for queues need not have

        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S)
        try:
            answer = await self._client.get(
                f"{self._url}/api/queues/{quote(self._vhost, safe='')}", params={"columns": _COLUMNS}
            )
            answer.raise_for_status()
            found = msgspec.json.decode(answer.content, type=list[_Queue])
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            # Not the error's own words: they hold the address, and the password in it.
            raise Unavailable(
                f"The broker's management API does not answer ({type(error).__name__})."
            ) from error
        return sorted(map(_queue, found), key=lambda queue: queue.name)


def management(request: ShopRequest) -> Management:
    """The way of this process to the management API."""
    state = request.app.state
    if "management" not in state:
        settings = request.settings
        state["management"] = Management(settings.management_url, settings.amqp_url)
    return state["management"]


def _queue(found: _Queue) -> Queue:
    stats = found.message_stats
    return Queue(
        name=found.name,
        ready=found.messages_ready,
        unacknowledged=found.messages_unacknowledged,
        consumers=found.consumers,
        publish_rate=stats.publish_details.rate,
        deliver_rate=stats.deliver_get_details.rate,
        acknowledge_rate=stats.ack_details.rate,
    )
