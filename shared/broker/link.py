"""Connections to RabbitMQ that come back: one per role, each with a name that says who it is.

A `Link` is one connection and what is set up on it. When it breaks, everything on it is given up and set up
anew as one unit, so that no half-restored consumer can be left behind (docs/adr/0003).

Of several servers each link draws one as its home. While that one is away it stands at another, and goes home
once that is possible: so all servers have their even share again, and nothing moves while all is well
(docs/adr/0032).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aio_pika.abc import AbstractChannel, AbstractConnection

from shared.addresses import AMQP, Server, Servers, to_try
from shared.broker.connecting import CONNECT_SECONDS, HURRY_SECONDS, Connection, connect
from shared.broker.pulse import Pulse
from shared.errors import describe
from shared.logs import log
from shared.trouble import Trouble

BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
DEADLINE_SECONDS = 3.0
HOME_SECONDS = 60.0
"""How often, give or take a half, a link that is not where it belongs looks whether it can go there."""
FINISH_SECONDS = 5.0
"""How long what is under way on a link may take to end before the link moves."""

SetUp = Callable[[AbstractConnection], Awaitable[None]]
TearDown = Callable[[], Awaitable[None]]
Finish = Callable[[float], Awaitable[None]]


class _Part(NamedTuple):
    """Something that stands on a connection."""

    set_up: SetUp
    tear_down: TearDown
    finish: Finish | None
    move: SetUp | None


class Link:
    """One connection, kept up for as long as the process runs.

    `set_up` gets each fresh connection; `tear_down` is called when one is lost or closed. One on which the
    broker says nothing at all is given up, and made anew, within two deadlines of `deadline_s` seconds.
    """

    def __init__(self, servers: Servers | str, name: str, *, deadline_s: float = DEADLINE_SECONDS) -> None:
        self.name = name
        self.trouble = Trouble(f"link {name}", "broker.link_failed")
        """Why it is down, and since when."""
        self.is_tried = False
        """Whether it has been up, or has failed for a reason that can be told."""
        self._servers = Servers(servers, AMQP) if isinstance(servers, str) else servers
        self._deadline_s = deadline_s
        self._parts: list[_Part] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._next: Connection | None = None
        """One to where this link belongs, to go on with."""
        self._home: tuple[str, int] | None = None
        self._failed_at: tuple[str, int] | None = None
        """Where it broke last: the others are tried before."""
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._lost_by = ""

    def use(
        self,
        set_up: SetUp,
        tear_down: TearDown,
        finish: Finish | None = None,
        move: SetUp | None = None,
    ) -> None:
        """Say what is to stand on this connection; before `start`.

        Before the link moves to another server, `move` is called with the connection that comes next, then
        `finish` with the seconds that are left to end what is under way on the present one.
        """
        self._parts.append(_Part(set_up, tear_down, finish, move))

    @property
    def is_up(self) -> bool:
        """Connected, and everything on it set up."""
        return self._up.is_set()

    def start(self) -> None:
        """Begin to connect, and to reconnect whenever it breaks."""
        self._task = asyncio.create_task(self._keep(), name=f"link {self.name}")

    async def wait_up(self, seconds: float) -> bool:
        """Wait until the link is up; False if it is not after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    def reset(self) -> None:
        """Give up the present connection and set everything up anew: some part of it has broken."""
        self._broken.set()

    async def stop(self) -> None:
        """Close the connection and do not come back."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    async def _keep(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._once()
                    failures = 0
                except Exception as error:  # whatever it was: without its link the process is deaf and mute
                    failures += 1
                    self._failed(f"{type(error).__name__}: {error}")
                if self._next is not None:
                    continue
                pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
        finally:
            await self._let_go()
            await _close(self._next, self.name)

    def _failed(self, reason: str) -> None:
        self.is_tried = True
        self.trouble.failed(reason)

    async def _connect(self) -> Connection:
        home = self._at_home().place
        failed_at, self._failed_at = self._failed_at, None
        servers = to_try(
            self._servers.now(),
            first=home if home != failed_at else None,
            last=[failed_at] if failed_at else (),
        )
        return await connect(servers, self.name)

    def _at_home(self) -> Server:
        """The server where this link belongs: drawn once, and again when it is named no more."""
        servers = self._servers.now()
        for one in servers:
            if one.place == self._home:
                return one
        drawn = random.choice(servers)  # noqa: S311  no secret
        self._home = drawn.place
        return drawn

    async def _once(self) -> None:
        """Connect, set up, and stay until the connection breaks, or there is one to where it belongs."""
        connection, self._next = self._next or await self._connect(), None
        here = connection.server
        self._connection = connection
        broken = self._broken = asyncio.Event()
        self._lost_by = "it was given up, to be set up anew"

        def lost(_: Any, error: BaseException | None) -> None:
            if error is not None:
                self._lost_by = f"{type(error).__name__}: {error}"
                self._failed_at = here.place
            broken.set()

        connection.close_callbacks.add(lost)
        watching: asyncio.Task[None] | None = None
        try:
            watching = asyncio.create_task(
                self._abort_when_lost(connection, await connection.feel(self._deadline_s))
            )
            async with asyncio.timeout(CONNECT_SECONDS * 6):
                for part in self._parts:
                    await part.set_up(connection)
                for channel in connection.opened:
                    await _watch(channel, broken)
                connection.is_set_up = True
            log.info("broker.link_up", link=self.name, server=str(here))
            self.trouble.over()
            self.is_tried = True
            self._up.set()
            self._next = await self._home_from(here, broken)
            if self._next is not None:
                log.info("broker.link_goes_home", link=self.name, server=str(self._next.server))
                await self._finish(self._next)
                return
            log.warning("broker.link_lost", link=self.name, server=str(here))
            self._failed(self._lost_by)
        except Exception:  # the others may do better; raised again
            self._failed_at = here.place
            raise
        finally:
            if watching is not None:
                watching.cancel()
            await self._let_go()

    async def _home_from(self, here: Server, broken: asyncio.Event) -> Connection | None:
        """Wait until the connection is lost; where the link does not belong, or until it can go home."""
        while here.place != self._home:
            try:
                async with asyncio.timeout(HOME_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311  no secret
                    await broken.wait()
            except TimeoutError:
                try:
                    async with asyncio.timeout(HURRY_SECONDS):
                        return await connect([self._at_home()], self.name)
                except Exception as error:  # it is not back yet
                    log.debug("broker.home_away", link=self.name, **describe(error))
            else:
                return None
        await broken.wait()
        return None

    async def _finish(self, following: Connection) -> None:
        """Let what is under way end, so that the move costs nobody an answer."""
        for part in self._parts:
            if part.move is None:
                continue
            try:
                async with asyncio.timeout(HURRY_SECONDS):
                    await part.move(following)
            except Exception as error:  # then it is set up there as on any fresh connection
                log.debug("broker.not_moved", link=self.name, **describe(error))
        finishing = (part.finish(FINISH_SECONDS) for part in self._parts if part.finish is not None)
        for ended in await asyncio.gather(*finishing, return_exceptions=True):
            if isinstance(ended, Exception):
                log.debug("broker.not_finished", link=self.name, **describe(ended))

    async def _abort_when_lost(self, connection: Connection, pulse: Pulse) -> None:
        await pulse.until_lost()
        log.warning("broker.link_silent", link=self.name)
        self._lost_by = "the broker said nothing at all"
        self._failed_at = connection.server.place
        connection.abort()
        self._broken.set()

    async def _let_go(self) -> None:
        self._up.clear()
        for part in self._parts:
            try:
                await part.tear_down()
            except Exception as error:  # it may be broken already; the rest must go all the same
                log.debug("broker.tear_down_failed", link=self.name, **describe(error))
        connection, self._connection = self._connection, None
        await _close(connection, self.name)


async def _close(connection: Connection | None, link: str) -> None:
    if connection is None or connection.is_closed:
        return
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.close()
    except Exception as error:  # a broken connection cannot say goodbye
        log.debug("broker.close_failed", link=link, **describe(error))


async def _watch(channel: AbstractChannel, broken: asyncio.Event) -> None:
    """Count the link as broken when the broker closes this channel, or cancels a consumer on it.

    Both happen while the connection lives on (a queue was deleted, its leader moved, an acknowledgement was
    late), and would leave a process that looks well and hears nothing.
    """
    if channel.is_closed:  # given up while it was being set up, in favour of another
        return
    channel.close_callbacks.add(lambda *_: broken.set())
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda *_: broken.set())
