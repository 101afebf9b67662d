"""Event streams straight from an app: the test client would wait for their end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec


class Frame(NamedTuple):
    """An event as it was sent."""

    id: str
    event: str
    data: Any


class Listener:
    """What a stream has sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(self, message: Any) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            await self._sent.put(message["body"])

    async def next(self) -> Frame:
        """The next event; what is no event is passed over."""
        async with asyncio.timeout(5):
            while True:
                lines = (await self._sent.get()).decode().splitlines()
                fields = dict(line.split(": ", 1) for line in lines if ": " in line)
                if "event" in fields:
                    data = msgspec.json.decode(fields["data"])
                    return Frame(fields.get("id", ""), fields["event"], data)

    @property
    def is_silent(self) -> bool:
        """Whether nothing waits to be read."""
        return self._sent.empty()


@asynccontextmanager
async def listening(
    app: Any, address: str, cookies: Mapping[str, str], **headers: str
) -> AsyncIterator[Listener]:
    """Listen to the event stream of a page."""
    path, query = urlsplit(address).path, urlsplit(address).query
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    sent = {
        "accept": "text/event-stream",
        "cookie": cookie,
        **headers,
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    listener = Listener()
    running = asyncio.create_task(app(scope, receive, listener.take))
    try:
        yield listener
    finally:
        gone.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
