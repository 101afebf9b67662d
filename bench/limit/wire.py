"""Sending and hearing in groups on stock aio-pika."""

import asyncio
import os
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any
from uuid import uuid4

import aio_pika
import aiomysql
from aio_pika.abc import (
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
    DeliveryMode,
)
from aiomysql import Cursor

from bench.limit.messages import encode

FULL = 64
LINGER_S = 0.002
FORGET_S = 0.02

EXCHANGE = "limit.events"

Decide = Callable[[Cursor, list[Any]], Awaitable[Sequence[tuple[str, Sequence[Any]]]]]
"""Handles a list in an open transaction; returns what to tell, by routing key."""


def among(values: Collection[Any]) -> str:
    """Placeholders for `IN`, which aiomysql does not make of a list."""
    return f"({', '.join(['%s'] * len(values))})"


class Gathered:
    """Single things that gather while something is busy, handed out in lists of at most `FULL`."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Any]] = deque()
        self._size = 0
        self._last = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()

    def put(self, one: Any, size: int = 1) -> None:
        """Add something that counts as `size`."""
        self._waiting.append((size, one))
        self._size += size
        self._some.set()
        if self._size >= FULL:
            self._full.set()

    async def take(self) -> list[Any]:
        """The next list; under load it waits a moment to fill up."""
        await self._some.wait()
        if self._last > FULL // 8 and self._size < FULL:
            self._full.clear()
            try:
                async with asyncio.timeout(LINGER_S):
                    await self._full.wait()
            except TimeoutError:
                pass
        taken: list[Any] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0][0] <= FULL):
            weight, one = self._waiting.popleft()
            size += weight
            taken.append(one)
        self._size -= size
        self._last = size
        if not self._waiting:
            self._some.clear()
        return taken


class Service:
    """One process: hears queues in lists, one transaction a list, commit, publish confirmed, acknowledge."""

    def __init__(
        self, connection: AbstractConnection, exchange: AbstractExchange, pool: aiomysql.Pool
    ) -> None:
        self._connection = connection
        self._exchange = exchange
        self._pool = pool
        self._sent: list[str] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def hear(self, queue: str, key: str, read: Callable[[bytes], list[Any]], do: Decide) -> None:
        """Handle what is told under a routing key."""
        channel = await self._connection.channel()
        await channel.set_qos(prefetch_count=FULL * 4)
        source = await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
        await source.bind(EXCHANGE, key)

        async def done(messages: list[AbstractIncomingMessage]) -> None:
            await messages[-1].ack(multiple=True)

        await self._consume(source, read, do, done)

    async def answer(self, queue: str, read: Callable[[bytes], list[Any]], do: Decide) -> None:
        """Handle what is asked, and answer with the ids of what was asked."""
        channel = await self._connection.channel(publisher_confirms=False)
        source = await channel.declare_queue(queue, auto_delete=True)

        async def done(messages: list[AbstractIncomingMessage]) -> None:
            ids: dict[str, list[str]] = {}
            for message in messages:
                ids.setdefault(message.reply_to or "", []).extend(one.id for one in read(message.body))
            for reply_to, done_ids in ids.items():
                await channel.default_exchange.publish(aio_pika.Message(encode(done_ids)), reply_to)

        await self._consume(source, read, do, done, no_ack=True)

    async def _consume(
        self,
        source: AbstractQueue,
        read: Callable[[bytes], list[Any]],
        do: Decide,
        done: Callable[[list[AbstractIncomingMessage]], Awaitable[None]],
        *,
        no_ack: bool = False,
    ) -> None:
        gathered = Gathered()

        async def take(message: AbstractIncomingMessage) -> None:
            things = read(message.body)
            gathered.put((message, things), len(things))

        async def work() -> None:
            while True:
                taken = await gathered.take()
                await self._unit([thing for _, things in taken for thing in things], do)
                await done([message for message, _ in taken])

        await source.consume(take, no_ack=no_ack)
        self.start(work())

    async def _unit(self, things: list[Any], do: Decide) -> None:
        rows: list[tuple[str, str, str]] = []
        async with self._pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            try:
                for key, said in await do(cursor, things):
                    if said:
                        rows.append((uuid4().hex, key, encode(said).decode()))
                if rows:
                    insert = "INSERT INTO outbox (id, routing_key, body) VALUES (%s, %s, %s)"
                    await cursor.executemany(insert, rows)
                await connection.commit()
            except BaseException:  # also when it is cancelled: the connection goes back to the pool
                await connection.rollback()
                raise
        if rows:
            self.start(self._publish(rows))

    async def _publish(self, rows: list[tuple[str, str, str]]) -> None:
        await asyncio.gather(
            *(
                self._exchange.publish(
                    aio_pika.Message(body.encode(), message_id=row_id, delivery_mode=DeliveryMode.PERSISTENT),
                    key,
                )
                for row_id, key, body in rows
            )
        )
        self._sent += [row_id for row_id, _, _ in rows]

    async def forget(self) -> None:
        """Delete the outbox rows of what is confirmed, in groups."""
        while True:
            await asyncio.sleep(FORGET_S)
            sent, self._sent = self._sent, []
            if sent:
                async with self._pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute(f"DELETE FROM outbox WHERE id IN {among(sent)}", sent)
                    await connection.commit()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside; its failure ends the process, for a limit heals nothing."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)
            os._exit(1)
