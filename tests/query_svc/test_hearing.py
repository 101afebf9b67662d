"""The query service on the real broker: all that is published is kept once, however late it listens."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractExchange, DeliveryMode

from deploy.local.layout import Layout
from query_svc import calls, contracts, events, store
from shared.broker import topology
from shared.broker.link import Link
from shared.database.units import Database
from shared.events import cloudevents
from shared.events.cloudevents import Undecoded
from shared.events.consumer import Consumer
from shared.events.outbox import Outbox
from shared.registry import Wiring, hear_everything
from tests.query_svc.facts_told import Story, at, hear, line, read_views, strange
from tests.support.waiting import eventually


@asynccontextmanager
async def listening(service: str, publisher: str, db: Database, url: str) -> AsyncIterator[None]:
    """The service's consumer at work on everything of an invented publisher."""
    [hearing] = hear_everything(publisher, events.take_in, batch=128)
    outbox = Outbox(service, db)
    consumer = Consumer(
        service,
        "query-svc#1",
        [hearing],
        Wiring({}).bind(hearing.handler),
        db,
        outbox.publish,
        in_unit=True,
        retry_delays=(0.1,),
        linger_s=0.0025,
        instance=1,
        database_patience_s=10,
    )
    link = Link(url, "query-svc#1 consume")
    consumer.give_back = link.reset
    link.use(outbox.set_up, outbox.tear_down)
    link.use(consumer.set_up, consumer.tear_down)
    link.start()
    try:
        assert await link.wait_up(15)
        yield
    finally:
        await consumer.drain(5)
        await link.stop()


async def publish(
    exchange: AbstractExchange, news: Sequence[Undecoded], user_id: str, *, together: int
) -> None:
    """Send events as their outbox does, several of one type in one message."""
    by_type: dict[str, list[bytes]] = {}
    for event in news:
        by_type.setdefault(event.type, []).append(cloudevents.encode(event))
    messages = [
        aio_pika.Message(
            cloudevents.batch(encoded[start : start + together]),
            type=kind,
            user_id=user_id,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        for kind, encoded in by_type.items()
        for start in range(0, len(encoded), together)
    ]
    await asyncio.gather(
        *(exchange.publish(message, routing_key=str(message.type), mandatory=False) for message in messages)
    )


@pytest.fixture
def publisher() -> str:
    """A publisher that no other test knows."""
    return f"order{uuid4().hex[:8]}"


async def stored(db: Database) -> int:
    """How many events are in the store."""
    return (await db.read(store.read_head)).position


async def test_a_service_that_was_away_catches_up_to_the_same_views(
    db: Database, servers: Layout, publisher: str
) -> None:
    stories = [Story(line(1), line(2, 3), start=at(number)).bought() for number in range(150)]
    news = [event for story in stories for event in story.events]
    await hear(db, news, portion=200)
    expected = await read_views(db)
    for table in (*expected, "saga_event_log"):
        await db.execute(f"DELETE FROM {table}")
    await db.execute("UPDATE event_store_head SET position = 0, folded = 0")

    service = f"query{uuid4().hex[:8]}"
    queue = topology.queue_name(service, publisher)
    connection = await aio_pika.connect(servers.amqp_url)
    user_id = unquote(urlsplit(servers.amqp_url).username or "")
    async with connection, connection.channel() as channel:
        # The queue is there from an earlier run; its consumer is not.
        await topology.declare_event_queue(channel, service, publisher)
        exchange = await topology.declare_events_exchange(channel, publisher)
        await publish(exchange, news, user_id, together=3)
        await publish(exchange, [strange(f"{publisher}.never_heard_of", {"a": 1})], user_id, together=1)
        for body in (b"no batch", cloudevents.batch([cloudevents.encode(news[0]), b'{"id": 1}'])):
            message = aio_pika.Message(body, user_id=user_id)
            await exchange.publish(message, routing_key="what.ever", mandatory=False)

        async def letters() -> int:
            declared = await channel.declare_queue(topology.dead_name(queue), passive=True)
            return declared.declaration_result.message_count or 0

        async with listening(service, publisher, db, servers.amqp_url):
            await eventually(lambda: stored(db), holds=lambda count: count == len(news) + 1, within_s=30)
            await eventually(letters, holds=lambda count: count == 2)
        assert await read_views(db) == expected
        retry = topology.retry_name(service, 0.1)
        for name in (queue, topology.dead_name(queue), retry):
            await channel.queue_delete(name)
        for name in (retry, exchange.name):
            await channel.exchange_delete(name)


async def test_replicas_share_the_work_and_lose_nothing(db: Database) -> None:
    stories = [Story(line(1), line(2, 3), start=at(number)).bought() for number in range(60)]
    news = [event for story in stories for event in story.events]
    portions = [news[start : start + 20] for start in range(0, len(news), 20)]
    # All at once, and each portion twice: the head lets one in at a time.
    await asyncio.gather(*(hear(db, portion) for portion in (*portions, *reversed(portions))))
    rows = await db.read(lambda reader: reader.rows("SELECT position FROM saga_event_log ORDER BY position"))
    assert [row[0] for row in rows] == list(range(1, len(news) + 1))
    assert (await db.read(store.read_head)).is_folded
    page = await db.read(lambda reader: calls.ranking(contracts.GetRanking(), reader))
    assert [(one.item_id, one.quantity) for one in page.items] == [(2, 180), (1, 60)]
