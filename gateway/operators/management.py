"""Figures of the broker's queues, from its management API; only what operators remove is changed there."""

import asyncio
import time
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from gateway.door.requests import ShopRequest
from shared.broker import AMQP, HTTP, parse, to_try
from shared.errors import Unavailable

T = TypeVar("T")

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


class Standing(Struct, frozen=True, kw_only=True):
    """A queue as it stands at the broker."""

    name: str
    exclusive: bool = False
    auto_delete: bool = False
    messages: int = 0
    consumers: int = 0


class Bound(Struct, frozen=True, kw_only=True, rename={"exchange": "source", "queue": "destination"}):
    """What brings messages from an exchange to a queue."""

    exchange: str
    queue: str
    routing_key: str
    destination_type: str = "queue"
    properties_key: str = ""

    @property
    def triple(self) -> tuple[str, str, str]:
        """Exchange, routing key and queue."""
        return self.exchange, self.routing_key, self.queue


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
    """Asks the management API of any node: first the one that answered last. One per gateway process."""

    def __init__(self, url: str, amqp_url: str) -> None:
        self._servers = to_try(parse(url, HTTP)) if url else []
        self._vhost = unquote(parse(amqp_url, AMQP)[0].path[1:]) or "/"
        self._asking = asyncio.Lock()
        self._seen: tuple[float, list[Queue]] = (float("-inf"), [])

    async def queues(self) -> list[Queue]:
        """All queues by name. Raises `Unavailable` where the API is not set or does not answer."""
        async with self._asking:
            if time.monotonic() - self._seen[0] > FRESH_S:
                self._seen = (time.monotonic(), await self._ask())
        return self._seen[1]

    async def standing(self) -> tuple[list[Standing], list[Bound]]:
        """All queues and all their bindings, asked now. Raises `Unavailable` like `queues`."""
        columns = {"columns": "name,exclusive,auto_delete,messages,consumers"}
        queues = await self._send("GET", f"queues/{self._at}", columns)
        bindings = await self._send("GET", f"bindings/{self._at}")
        bound = [
            one for one in _read(bindings, list[Bound]) if one.destination_type == "queue" and one.exchange
        ]
        return _read(queues, list[Standing]), bound

    async def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it."""
        await self._send("DELETE", f"queues/{self._at}/{quote(name, safe='')}")

    async def unbind(self, exchange: str, queue: str, routing_key: str) -> None:
        """Take away a binding."""
        between = f"bindings/{self._at}/e/{quote(exchange, safe='')}/q/{quote(queue, safe='')}"
        found = _read(await self._send("GET", between), list[Bound])
        for one in found:
            if one.routing_key == routing_key:
                await self._send("DELETE", f"{between}/{quote(one.properties_key, safe='')}")

    async def _ask(self) -> list[Queue]:
        content = await self._send("GET", f"queues/{self._at}", {"columns": _COLUMNS})
        return sorted(map(_queue, _read(content, list[_Queue])), key=lambda queue: queue.name)

    @property
    def _at(self) -> str:
        return quote(self._vhost, safe="")

    async def _send(self, method: str, path: str, query: dict[str, str] | None = None) -> bytes:
        import httpx  # it costs megabytes, which a gateway that nobody asks for queues need not have

        if not self._servers:
            raise Unavailable("The broker's management API is unknown here: SHOP_MANAGEMENT_URL is not set.")
        failure: Exception | None = None
        for server in list(self._servers):
            try:
                # It is closed again: nobody would close one that is kept.
                async with httpx.AsyncClient(
                    trust_env=False, timeout=PATIENCE_S, verify=server.tls.context() if server.tls else False
                ) as client:
                    url = f"{server.url('https' if server.tls else 'http').rstrip('/')}/api/{path}"
                    answer = await client.request(method, url, params=query)
                answer.raise_for_status()
            except (httpx.HTTPError, ConnectionError) as error:
                failure = error
                if method != "GET" and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    break  # it may have been done
                continue
            self._servers.remove(server)
            self._servers.insert(0, server)
            return answer.content
        # Not the error's own words: they hold the address, and the password in it.
        raise Unavailable(_silent(failure)) from failure


def _read(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable(_silent(error)) from error


def _silent(error: Exception | None) -> str:
    return f"The broker's management API does not answer ({type(error).__name__})."


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
