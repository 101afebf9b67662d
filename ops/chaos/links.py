"""The ways from services to the broker and the database, as proxies that can be cut, blocked and slowed."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from ops.chaos.plan import What

_HOST = "127.0.0.1"
_CHUNK = 65536
LATE_S = 0.1
"""A delayed link hands on each piece so much later."""
BYTES_PER_S = 32_000
"""What a narrow link lets through each way; a busy service needs about twice as much."""


@dataclass(frozen=True, slots=True)
class _Weather:
    """How a link is. `open_out`: what the service sends passes; `open_in`: what it is sent does."""

    open_out: bool = True
    open_in: bool = True
    late_s: float = 0.0
    bytes_per_s: float | None = None
    accepts: bool = True


_WEATHERS = {
    What.CUT: _Weather(accepts=False),
    What.HOLE: _Weather(open_out=False, open_in=False),
    What.MUTE: _Weather(open_in=False),
    What.DELAY: _Weather(late_s=LATE_S),
    What.NARROW: _Weather(bytes_per_s=BYTES_PER_S),
}


class Link:
    """One service's way to one server. What a blocked link holds back arrives later, as with TCP."""

    def __init__(self, port: int, target: tuple[str, int]) -> None:
        self.port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._weather = _Weather()
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, _HOST, self.port)

    async def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._pairs):
            task.cancel()
        if self._pairs:
            await asyncio.wait(list(self._pairs))

    def suffer(self, what: What) -> None:
        """Be broken like this until `heal`."""
        self._change(_WEATHERS[what])
        if not self._weather.accepts:
            for task in list(self._pairs):
                task.cancel()

    def heal(self) -> None:
        """Hand on everything at once, what was held back first."""
        self._change(_Weather())

    def _change(self, weather: _Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is None:
            raise AssertionError("unreachable")
        writers = self._pairs[task] = [writer]
        try:
            if not self._weather.accepts:
                return
            while not self._weather.open_out:
                await self._changed.wait()
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            writers.append(there_writer)
            out = asyncio.create_task(self._pump(reader, there_writer, outgoing=True))
            back = asyncio.create_task(self._pump(there_reader, writer, outgoing=False))
            try:
                await asyncio.wait((out, back), return_when=asyncio.FIRST_COMPLETED)
                # What the other side still has to say is said before the connection ends.
                await asyncio.wait((out, back), timeout=1.0)
            finally:
                out.cancel()
                back.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # the server is down, or this link is cut: the connection breaks, and that is the point
        finally:
            for one in writers:
                one.transport.abort()
            del self._pairs[task]

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outgoing: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._weather.late_s:
                    await asyncio.sleep(self._weather.late_s)
                if self._weather.bytes_per_s:
                    await asyncio.sleep(len(data) / self._weather.bytes_per_s)
                while not (self._weather.open_out if outgoing else self._weather.open_in):
                    await self._changed.wait()
                writer.write(data)
                await writer.drain()


class Links:
    """The links of a whole shop: to each server one for each service, in the order of their declaration."""

    def __init__(
        self, services: list[str], servers: dict[str, tuple[str, int]], first_ports: dict[str, int]
    ) -> None:
        self.all = {
            (service, server): Link(first_ports[server] + number, target)
            for server, target in servers.items()
            for number, service in enumerate(services)
        }

    async def open(self) -> None:
        """Listen on all ports. Raises `OSError` if one is taken."""
        for link in self.all.values():
            await link.open()

    async def close(self) -> None:
        """End all connections."""
        for link in self.all.values():
            await link.close()

    def between(self, service: str, server: str) -> list[Link]:
        """The link of a service, or of `all` services, to a server."""
        return [
            link for (one, other), link in self.all.items() if other == server and service in (one, "all")
        ]
