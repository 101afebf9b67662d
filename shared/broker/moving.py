"""A queue that is there, and has to be another: what is in it is kept aside while it is made anew.

The broker refuses to change a queue's arguments. So a twin is bound beside the queue, the queue is unbound,
emptied into the twin (each message confirmed there before it is acknowledged here), deleted, declared anew,
and the twin is emptied back. What the broker has tells how far that has come: whoever is killed in between
goes on at the next start, and a message may then come twice, but none is lost.

A queue that somebody consumes is left as it is: what consumers hold would go with it. They work with it as it
is, too, so that nothing stands still until they have been stopped.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from shared import crash
from shared.broker.identity import MIGRATE, user_of
from shared.broker.topology import Queue, bind, declare
from shared.logs import log

AT_ONCE = 100
"""So many messages are taken, published in one pipeline, and then acknowledged."""
UNFINISHED = "shop.declaring.unfinished"
"""A queue that is there as long as queues are being made anew; nothing is ever in it."""
TRIES = 5
"""An old process may declare a queue in its old way in the moment when there is none."""
CONFIRM_SECONDS = 30.0


class InUse(Exception):
    """A queue cannot be made anew, for somebody consumes it."""


async def _nothing() -> None:
    """Nothing has to be waited for."""


async def is_unfinished(connection: AbstractConnection) -> bool:
    """Whether somebody has begun to make queues anew, and has not said that all of it is done."""
    return await _exists(connection, UNFINISHED)


async def finish(connection: AbstractConnection) -> None:
    """Say that all is done."""
    async with connection.channel() as channel:
        await channel.queue_delete(UNFINISHED)


def twin_of(queue: Queue) -> Queue:
    """Where the messages of a queue are while it is made anew. There they rest: nothing expires or dies."""
    arguments = {name: queue.arguments[name] for name in ("x-queue-type", "x-delivery-limit", "x-overflow")}
    return queue._replace(name=_aside(queue.name), arguments=arguments)


async def bring_about(
    connection: AbstractConnection,
    queue: Queue,
    *,
    unfinished: bool = True,
    before_deletion: Callable[[], Awaitable[None]] = _nothing,
) -> bool:
    """Have a queue as it has to be, with all that was in it; True if it was there and was another.

    Without anything `unfinished` by somebody who was killed (`is_unfinished`) no twin is looked for.

    Raises `InUse` if it is consumed; it is left as it was then, with everything in it.
    """
    moved = False
    for _ in range(TRIES):
        if await _declared(connection, queue):
            if unfinished and await _exists(connection, _aside(queue.name)):
                await _bring_back(connection, queue)
                moved = True
            return moved
        unfinished = True
        await _put_aside(connection, queue, before_deletion)
    raise InUse(f"{queue.name} is declared again and again by a process of another release")


async def _put_aside(
    connection: AbstractConnection, queue: Queue, before_deletion: Callable[[], Awaitable[None]]
) -> None:
    twin = twin_of(queue)
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        await _refuse_consumed(channel, queue)
        log.info("queue.put_aside", queue=queue.name)
        await channel.declare_queue(UNFINISHED, durable=True)
        exchange = await channel.declare_exchange(_aside(queue.name), ExchangeType.FANOUT, durable=True)
        old = await channel.get_queue(queue.name, ensure=False)
        await old.unbind(exchange, queue.name)
        aside = await declare(channel, twin)
        await aside.bind(exchange, queue.name)
        crash.here("moving.twin_bound")
        if queue.binding is not None:
            source = await channel.get_exchange(queue.binding.exchange, ensure=False)
            await old.unbind(source, queue.binding.key)
        crash.here("moving.unbound")
        await before_deletion()
        await _empty(channel, old, _aside(queue.name))
        crash.here("moving.emptied")
        try:
            await _refuse_consumed(channel, queue)
        except InUse:
            if queue.binding is not None:
                await bind(channel, old, queue.binding)
            await _bring_back(connection, queue)
            raise
        await channel.queue_delete(queue.name)
    crash.here("moving.deleted")


async def _bring_back(connection: AbstractConnection, queue: Queue) -> None:
    """Empty the twin into the queue, and let go of it."""
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        crash.here("moving.declared")
        exchange = await channel.declare_exchange(_aside(queue.name), ExchangeType.FANOUT, durable=True)
        aside = await channel.get_queue(_aside(queue.name), ensure=False)
        if queue.binding is not None:
            source = await channel.get_exchange(queue.binding.exchange, ensure=False)
            await aside.unbind(source, queue.binding.key)
        await aside.unbind(exchange, queue.name)
        again = await channel.get_queue(queue.name, ensure=False)
        await again.bind(exchange, queue.name)
        crash.here("moving.twin_unbound")
        await _empty(channel, aside, _aside(queue.name))
        crash.here("moving.filled")
        await again.unbind(exchange, queue.name)
        # The twin last: that it is there tells that all this is going on.
        await channel.exchange_delete(_aside(queue.name))
        crash.here("moving.let_go")
        await channel.queue_delete(aside.name)
    log.info("queue.made_anew", queue=queue.name)


async def _empty(channel: AbstractChannel, queue: AbstractQueue, into: str) -> None:
    """Publish all messages of a queue to the exchange `into`, each under its own routing key.

    Each keeps the user who published it, as far as we are one from whom the broker takes others' names.
    """
    exchange = await channel.get_exchange(into, ensure=False)
    us = user_of((await channel.get_underlay_channel()).connection)
    while True:
        taken: list[AbstractIncomingMessage] = []
        while len(taken) < AT_ONCE and (message := await queue.get(fail=False)) is not None:
            taken.append(message)
        if not taken:
            return
        for one in taken:
            if one.user_id != us != MIGRATE:
                one.user_id = None
        await asyncio.gather(
            *(
                exchange.publish(one, one.routing_key or "", mandatory=True, timeout=CONFIRM_SECONDS)
                for one in taken
            )
        )
        crash.here("moving.confirmed")
        await taken[-1].ack(multiple=True)


async def _refuse_consumed(channel: AbstractChannel, queue: Queue) -> None:
    declared = await channel.declare_queue(queue.name, passive=True)
    if consumers := declared.declaration_result.consumer_count:
        raise InUse(f"{queue.name} has {consumers} consumers: it is made anew once they have been stopped")


async def _declared(connection: AbstractConnection, queue: Queue) -> bool:
    """Whether the queue is now there as it has to be; False if it is another."""
    channel = await connection.channel()
    try:
        await declare(channel, queue._replace(binding=None))
    except ChannelPreconditionFailed:
        return False
    await declare(channel, queue)
    await channel.close()
    return True


async def _exists(connection: AbstractConnection, queue: str) -> bool:
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


def _aside(queue: str) -> str:
    """The twin of a queue, and the exchange through which messages are moved: it keeps their routing keys,
    by which a retry finds back to the queue that failed."""
    return f"{queue}.aside"
