"""What tests of the platform work with: fresh databases, services at work, eyes on the broker."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aio_pika
import httpx
import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from deploy.databases import connect
from deploy.local import broker
from deploy.local.layout import Layout
from shared.clock import utc_now
from shared.events import cloudevents
from shared.events.cloudevents import CloudEvent
from shared.ids import new_id
from shared.service.runtime import Runtime
from shared.service.service import Service
from tests.support import calling
from tests.support.databases import migrate
from tests.support.ports import free_port
from tests.support.waiting import eventually

TABLES = ("marks", "outbox", "inbox", "kept_answers", "suspects")
PROMPT: dict[str, Any] = {"outbox_poll_s": 0.1, "shutdown_s": 5.0}
"""Settings with which nothing waits longer than a test needs."""


def unique(word: str) -> str:
    """A name that no other test uses, for services, exchanges and queues."""
    return f"{word}{uuid4().hex[:8]}"


class Lab:
    """One test run's broker and database server."""

    def __init__(self, at: Layout, channel: AbstractChannel, template: "Template") -> None:
        self.at = at
        self.amqp_url = at.amqp_url
        self.user_id = unquote(urlsplit(at.amqp_url).username or "guest")
        """As whom all sign in here, tests and services alike."""
        self.channel = channel
        self._template = template
        self._processes: list[Process] = []
        self._databases: list[str] = []

    # Databases -------------------------------------------------------------------------------------------

    async def new_database(self) -> str:
        """The URL of a database with the empty tables of the tiny service."""
        if self._template.spare:
            name = self._template.spare.pop()
        else:
            name = unique("test_tiny_")
            await self.sql("", f"CREATE DATABASE {name}")
            for table in TABLES:
                await self.sql("", f"CREATE TABLE {name}.{table} LIKE {self._template.name}.{table}")
        self._databases.append(name)
        return f"{self.at.admin_url.rstrip('/')}/{name}"

    async def sql(self, url: str, statement: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of our own, beside the platform."""

        def run() -> list[tuple[Any, ...]]:
            with connect(url or self.at.admin_url) as connection, connection.cursor() as cursor:
                cursor.execute(statement, args)
                return list(cursor.fetchall())

        return await asyncio.to_thread(run)

    async def marks(self, url: str) -> list[str]:
        """The keys of all marks, sorted."""
        return [row[0] for row in await self.sql(url, "SELECT `key` FROM marks ORDER BY `key`")]

    async def outbox(self, url: str) -> list[str]:
        """The message ids that wait in the outbox, sorted."""
        return [row[0] for row in await self.sql(url, "SELECT id FROM outbox ORDER BY id")]

    # Services --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, service: Service, *, up: bool = True, **settings: Any) -> AsyncIterator[Runtime]:
        """`service` at work in this process; with `up`, once it is connected."""
        values = {"amqp_url": self.amqp_url, **PROMPT, **calling.SETTINGS, **settings}
        runtime = Runtime(service, service.settings(**values))
        await runtime.start()
        try:
            if up:
                await is_up(runtime)
            yield runtime
        finally:
            await runtime.stop()

    async def process(
        self, name: str, database_url: str, *, ready: bool = True, **settings: Any
    ) -> "Process":
        """A process of the tiny service called `name`; keyword `hears`, and settings by their field names."""
        process = Process(name, {"database_url": database_url, "amqp_url": self.amqp_url, **settings})
        self._processes.append(process)
        await process.start()
        if ready:
            await process.is_ready()
        return process

    async def close(self) -> None:
        """End the processes of the test, and empty its databases for the next one."""
        for process in self._processes:
            await process.kill()
        for name in self._databases:
            for table in TABLES:
                await self.sql("", f"DELETE FROM {name}.{table}")
        self._template.spare += self._databases

    # The broker ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def wiretap(
        self, exchange: str, key: str = "#", *, kind: str = "topic"
    ) -> AsyncIterator[list[AbstractIncomingMessage]]:
        """All messages that go through an exchange from now on, as they are."""
        seen: list[AbstractIncomingMessage] = []

        async def look(message: AbstractIncomingMessage) -> None:
            seen.append(message)

        source = await self.channel.declare_exchange(exchange, kind, durable=True)
        queue = await self.channel.declare_queue(exclusive=True)
        await queue.bind(source, routing_key=key)
        await queue.consume(look, no_ack=True)
        try:
            yield seen
        finally:
            await queue.delete(if_unused=False, if_empty=False)

    async def take(self, queue: str) -> AbstractIncomingMessage | None:
        """Take one message from a queue; None if it is empty."""
        found = await (await self.channel.get_queue(queue)).get(no_ack=True, fail=False)
        return found

    async def length(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def dead(self, queue: str) -> AbstractIncomingMessage:
        """The next dead letter of a queue, waited for."""
        found = await eventually(lambda: self.take(f"{queue}.dead"))
        assert found is not None
        return found

    async def send(self, exchange: str, body: bytes, key: str, **properties: Any) -> None:
        """Publish by hand, past the platform; the empty exchange is the way straight to a queue.

        The message bears our user, as the platform's do, unless another `user_id` is given, or None.
        """
        message = aio_pika.Message(body, **{"user_id": self.user_id, **properties})
        if exchange:
            target = await self.channel.get_exchange(exchange)
            await target.publish(message, routing_key=key)
        else:
            await self.channel.default_exchange.publish(message, routing_key=key)

    @asynccontextmanager
    async def broker_short_of_memory(self) -> AsyncIterator[None]:
        """Meanwhile the broker takes no messages from anybody."""
        await self._tell_broker("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            yield
        finally:
            await self._tell_broker("set_vm_memory_high_watermark", "0.4")

    @asynccontextmanager
    async def hung(self, server: str) -> AsyncIterator[None]:
        """Meanwhile the `broker`, or the `database`, is there and does nothing at all."""
        pid = int((self.at.run_dir / server / f"{server}.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _tell_broker(self, *words: str) -> None:
        telling = await asyncio.create_subprocess_exec(
            broker.engine_of(self.at).program.with_name("rabbitmqctl"),
            *words,
            env={**os.environ, **broker.environment(self.at)},
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await telling.wait() == 0

    async def management(self, path: str) -> Any:
        """What the management API says."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.at.management_url}/api/{path}")
            answer.raise_for_status()
            return answer.json()


class Process:
    """A process of the tiny service."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        words = {
            "outbox_poll_s": 0.1,
            "service_port": free_port(),
            "log_format": "json",
            **calling.SETTINGS,
            **settings,
        }
        self.port: int = words["service_port"]
        hears, once = words.pop("hears", ""), words.pop("once", False)
        self._environment = {
            **os.environ,
            "TINY_NAME": name,
            "TINY_HEARS": hears,
            "TINY_ONCE": "1" if once else "0",
            **{f"SHOP_{key.upper()}": str(value) for key, value in words.items()},
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it answers over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it (again)."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.shared.tiny",
            env=self._environment,
            cwd=Path(__file__).parents[2],
            stderr=None if os.environ.get("TEST_LOGS") else asyncio.subprocess.DEVNULL,
        )

    async def is_ready(self) -> None:
        """Wait until it says that it is ready."""
        async with httpx.AsyncClient(trust_env=False) as client:

            async def look() -> bool:
                assert self._process is not None
                assert self._process.returncode is None, "the process has ended"
                try:
                    checks = (await client.get(f"{self.url}/readyz")).json()["checks"]
                    return all(result == "ok" for result in checks.values())
                except httpx.TransportError:
                    return False

            await eventually(look, within_s=30)

    async def end(self, within_s: float = 15) -> int:
        """Wait for its end; returns its exit code, or minus the signal that killed it."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    @asynccontextmanager
    async def hung(self) -> AsyncIterator[None]:
        """Meanwhile it is there and does nothing at all."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def terminate(self) -> int:
        """End it as a deploy does; returns its exit code, after a stop in good order -SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self.end()

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def is_up(runtime: Runtime) -> None:
    """Wait until all links of a runtime are up."""
    for link in runtime.links:
        assert await link.wait_up(15), f"{link.name} is not up"


def event(kind: str, data: Any, **changes: Any) -> bytes:
    """One CloudEvent as JSON, as a publisher writes it."""
    values = {
        "id": str(new_id()),
        "source": "/tests",
        "type": kind,
        "subject": "a",
        "time": utc_now(),
        "data": data,
        **changes,
    }
    return cloudevents.encode(CloudEvent(**values))


def events_of(message: AbstractIncomingMessage) -> list[CloudEvent[dict[str, Any]]]:
    """The events that a message carries."""
    return msgspec.json.decode(message.body, type=list[CloudEvent[dict[str, Any]]])


class Template:
    """A database with the tiny service's tables, made by its migrations, to copy from, and used copies."""

    def __init__(self, at: Layout) -> None:
        self._at = at
        self.name = unique("test_template_")
        self.spare: list[str] = []

    async def make(self) -> None:
        """Make it."""
        await self._run(f"CREATE DATABASE {self.name}")
        await migrate("tests.shared.tiny", f"{self._at.admin_url.rstrip('/')}/{self.name}", seed=False)

    async def drop(self) -> None:
        """Drop it with its copies."""
        for name in (self.name, *self.spare):
            await self._run(f"DROP DATABASE {name}")

    async def _run(self, statement: str) -> None:
        def run() -> None:
            with connect(self._at.admin_url) as connection, connection.cursor() as cursor:
                cursor.execute(statement)

        await asyncio.to_thread(run)
