"""The load: HTTP/1.1 clients in a process of their own, so cheap that what is measured is the shop.

`load(...)` starts that process and reads what it found; `python -m bench.load PLAN RESULT` is the process.
Responses are parsed by httptools; requests are bytes that were made beforehand.
"""

import asyncio
import sys
import time
from collections import Counter, defaultdict, deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httptools
import msgspec
import uvloop

from bench.figures import at_share
from bench.program import output_of


class Plan(msgspec.Struct, frozen=True):
    """`count` requests, taken from `requests` in a circle.

    Without `per_second`, `clients` connections send their next one as soon as the last one is answered. With
    it, requests leave at their time, whatever became of those before, and times count from then.
    """

    port: int
    requests: list[bytes]
    count: int
    clients: int
    per_second: float | None = None


class Found(msgspec.Struct, frozen=True):
    """What came of a plan: seconds in all and of each request, and how many ended how, and how fast."""

    seconds: float
    times: list[float]
    ends: dict[str, int]
    cpu_s: float
    by_end: dict[str, list[float]] = {}
    late: list[float] = []
    """At a rate: by how many seconds each request left after its time for want of a processor, not of a
    connection. What the machine did to the load is in this, and in the times as well."""

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return len(self.times) / self.seconds

    def ended(self, *ends: str) -> list[float]:
        """The seconds of requests that ended like this; `HTTP 503` stands for all answers of that status."""
        return [one for end, times in self.by_end.items() if end.startswith(ends) for one in times]

    def ms(self, share: float) -> float:
        """The milliseconds that `share` of the requests did not exceed."""
        return at_share(sorted(self.times), share) * 1000


def request(method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> bytes:
    """A request as bytes; `prefer="wait=20"` is a header."""
    payload = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(payload)}"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload


async def load(plan: Plan) -> Found:
    """Run a plan in a process of its own."""
    with TemporaryDirectory(prefix="sagamart-load-") as folder:
        asked, found = Path(folder) / "plan", Path(folder) / "found"
        await asyncio.to_thread(asked.write_bytes, msgspec.msgpack.encode(plan))
        await output_of(["-m", "bench.load", str(asked), str(found)], {})
        return msgspec.msgpack.decode(await asyncio.to_thread(found.read_bytes), type=Found)


LOST = "connection lost"
"""How a request ends whose connection breaks; with the last connection the plan ends."""


class _Status(msgspec.Struct):
    """All that is read of a body: an order says by `status` how it ended."""

    status: str | int | None = None


_status = msgspec.json.Decoder(_Status).decode


class _Client(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, crowd: "_Crowd") -> None:
        self._crowd = crowd
        self._body = b""
        self._began = 0.0
        self._busy = False
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of the standard library's, but do as they do.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.lost(self, self._began if self._busy else None)

    def send(self, payload: bytes, began: float) -> None:
        self._began, self._busy, self._body = began, True, b""
        assert self._transport is not None  # noqa: S101  whoever sends has connected
        self._transport.write(payload)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._busy = False
        code = self._parser.get_status_code()
        end = f"HTTP {code}"
        if code < 300 and self._body.startswith(b"{"):
            said = _status(self._body).status
            end = said if isinstance(said, str) else end
        elif code >= 300:
            end += f" {self._body[:200].decode(errors='replace')}"
        self._parser = httptools.HttpResponseParser(self)
        self._crowd.answered(self, self._began, end)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Crowd:
    """All clients of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sent = 0
        self._open = plan.clients
        self._idle: deque[_Client] = deque()
        self._due: deque[float] = deque()
        self.times: list[float] = []
        self.ends: Counter[str] = Counter()
        self.by_end: dict[str, list[float]] = defaultdict(list)
        self.late: list[float] = []
        self._over = asyncio.Event()

    async def run(self) -> float:
        """Send everything; returns the seconds that it took."""
        plan = self._plan
        loop = asyncio.get_running_loop()
        for _ in range(plan.clients):
            _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", plan.port)
            self._idle.append(client)
        clients = list(self._idle)
        started = time.perf_counter()
        if plan.per_second is None:
            for client in clients:
                self._next(client, time.perf_counter())
        else:
            for number in range(plan.count):
                at = started + number / plan.per_second
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                if self._idle:
                    self.late.append(time.perf_counter() - at)
                    self._next(self._idle.popleft(), at)
                else:
                    self._due.append(at)
        await self._over.wait()
        elapsed = time.perf_counter() - started
        for client in clients:
            client.close()
        return elapsed

    def answered(self, client: _Client, began: float, end: str) -> None:
        """Count it; the client goes on."""
        now = time.perf_counter()
        self.times.append(now - began)
        self.ends[end] += 1
        self.by_end[end].append(now - began)
        if len(self.times) == self._plan.count:
            self._over.set()
        elif self._plan.per_second is None:
            self._next(client, now)
        elif self._due:
            self._next(client, self._due.popleft())
        else:
            self._idle.append(client)

    def lost(self, client: _Client, began: float | None) -> None:
        """A connection is gone, with the request that was under way on it; the others go on without it."""
        self._open -= 1
        if client in self._idle:
            self._idle.remove(client)
        if began is not None:
            self.times.append(time.perf_counter() - began)
            self.ends[LOST] += 1
        if self._open == 0 or len(self.times) == self._plan.count:
            self._over.set()

    def _next(self, client: _Client, began: float) -> None:
        if self._sent < self._plan.count:
            payload = self._plan.requests[self._sent % len(self._plan.requests)]
            self._sent += 1
            client.send(payload, began)


async def _run(plan: Plan) -> Found:
    crowd = _Crowd(plan)
    before = time.process_time()
    seconds = await crowd.run()
    cpu = time.process_time() - before
    return Found(seconds, crowd.times, dict(crowd.ends), cpu, dict(crowd.by_end), crowd.late)


if __name__ == "__main__":
    asked, found = (Path(argument) for argument in sys.argv[1:])
    plan = msgspec.msgpack.decode(asked.read_bytes(), type=Plan)
    found.write_bytes(msgspec.msgpack.encode(uvloop.run(_run(plan))))
