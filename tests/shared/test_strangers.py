"""Messages from those who may not have sent them, at a broker where every service has a user of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import httpx
import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.commands import Basic

from deploy import broker_users
from deploy.local.layout import Layout
from shared import metrics
from shared.broker import Message, topology
from shared.broker.identity import MIGRATE, PUBLISHED_BY, named
from shared.broker.moving import bring_about
from shared.declare import declare_all
from shared.events import cloudevents
from shared.permissions import permission_of
from shared.registry import tap
from shared.rpc import Rpc, wire
from shared.rpc.client import _Waiting
from shared.service.service import Service
from shared.settings import Settings
from tests.shared.lab import Lab, event, unique
from tests.shared.test_consumer import QUICK, Ear
from tests.shared.test_declare import OLD
from tests.shared.tiny.contracts import contracts, module_of, takes
from tests.support.waiting import eventually

PASSWORD = "of a test"


@asynccontextmanager
async def own_users(lab: Lab, *services: Service) -> AsyncIterator[dict[str, str]]:
    """Users of their own for these services, and all that they need declared; the URLs they sign in by."""
    api = lab.at.management_url or ""
    made = [permission_of(service) for service in services]
    broker_users.send(api, broker_users.definitions(made, lambda _: PASSWORD))
    await declare_all(services, Settings(amqp_url=lab.amqp_url, retry_delays_s=QUICK))
    parts = urlsplit(lab.amqp_url)
    place = parts.netloc.rpartition("@")[2]
    yield {
        one.user: urlunsplit(parts._replace(netloc=f"{one.user}:{PASSWORD.replace(' ', '%20')}@{place}"))
        for one in made
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        for one in made:
            (await client.delete(f"{api}/api/users/{one.user}")).raise_for_status()


async def publish(
    url: str, exchange: str, key: str, body: bytes, user_id: str | None, **headers: Any
) -> None:
    """Publish by hand, as whoever has signed in by this URL."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await target.publish(aio_pika.Message(body, user_id=user_id, headers=headers), key)


@pytest.fixture
def ear(lab: Lab, management: Layout) -> Ear:
    """A service that hears another; `management` says that users can be made."""
    return Ear(lab)


def publisher_of(ear: Ear) -> Service:
    """Whom it hears."""
    return Service(ear.publisher, contracts=(module_of(contracts(ear.publisher).marked),))


async def test_what_others_put_into_a_queue_is_a_dead_letter_that_nobody_has_read(
    lab: Lab, own_broker: Layout, url: str, ear: Ear
) -> None:
    other = Service(unique("other"))
    mark = cloudevents.batch([event(ear.kind, {"key": "k", "text": ""}, subject="k")])
    async with own_users(lab, ear.service, publisher_of(ear), other) as urls:
        ours, theirs, strangers = named(ear.name), named(ear.publisher), named(other.name)
        query = named("query")
        sent: list[tuple[str, str | None, bytes, dict[str, str]]] = [
            (urls[strangers], strangers, mark, {}),
            (urls[strangers], None, mark, {}),
            (urls[strangers], strangers, mark, {PUBLISHED_BY: theirs}),
            (urls[strangers], strangers, b"\xff\x00 no message of ours", {}),
            (lab.amqp_url, lab.user_id, mark, {}),
            (own_broker.amqp_url_of(query), query, mark, {PUBLISHED_BY: strangers}),
        ]
        async with ear.running(url, amqp_url=urls[ours]):
            for way, user_id, body, headers in sent:
                await publish(way, "", ear.queue, body, user_id, **headers)
            letters = [await lab.dead(ear.queue) for _ in sent]
            # And from where they have to come they are handled.
            await publish(urls[theirs], f"{ear.publisher}.events", ear.kind, mark, theirs)
            await publish(own_broker.amqp_url_of(query), "", ear.queue, mark, query, **{PUBLISHED_BY: theirs})
            await ear.handled(url, "k", "k")
    assert {str(one.headers["x-exception"]) for one in letters} == {"Stranger"}
    assert {one.user_id for one in letters} == {ours}
    assert [one.body for one in letters] == [body for _, _, body, _ in sent]
    said = [one.headers[PUBLISHED_BY] for one in letters]
    assert said == [strangers, "", strangers, strangers, lab.user_id, strangers]
    assert metrics.STRANGERS.labels(ear.queue)._value.get() == len(sent)
    await ear.is_done()


async def test_what_is_sent_again_keeps_whose_it_was(lab: Lab, url: str, ear: Ear) -> None:
    async with own_users(lab, ear.service, publisher_of(ear)) as urls:
        theirs = named(ear.publisher)
        body = cloudevents.batch(
            [
                event(ear.kind, {"key": key, "text": text}, subject=key)
                for key, text in (("a", ""), ("c", "boom"))
            ]
        )
        async with ear.running(url, amqp_url=urls[named(ear.name)]):
            await publish(urls[theirs], f"{ear.publisher}.events", ear.kind, body, theirs)
            letter = await lab.dead(ear.queue)
            await ear.handled(url, "a")
    # It failed, came back from two queues of retries, and was taken for ours each time.
    assert (letter.headers["x-exception"], letter.headers["x-attempt"]) == ("RuntimeError", 2)
    assert (letter.user_id, letter.headers[PUBLISHED_BY]) == (named(ear.name), theirs)


async def test_a_tap_hears_its_publisher_alone(lab: Lab, management: Layout) -> None:
    publisher, name = unique("pub"), unique("tap")
    heard: list[str] = []

    @takes(contracts(publisher).marked_view)
    def hear(one: Any) -> None:
        heard.append(one.key)

    told = Service(publisher, contracts=(module_of(contracts(publisher).marked),))
    taps = Service(name, taps=(tap(hear),))
    marks = [cloudevents.batch([event(f"{publisher}.marked", {"key": k, "text": ""})]) for k in ("no", "yes")]
    async with own_users(lab, told, taps) as urls, lab.running(taps, amqp_url=urls[named(name)]):
        exchange, key, theirs = f"{publisher}.events", f"{publisher}.marked", named(publisher)
        await publish(lab.amqp_url, exchange, key, marks[0], lab.user_id)
        await publish(lab.amqp_url, exchange, key, marks[0], None)
        await publish(urls[theirs], exchange, key, marks[1], theirs)

        async def something() -> list[str]:
            return heard

        await eventually(something)
    assert heard == ["yes"]


async def test_an_answer_counts_only_from_the_service_that_was_asked() -> None:
    rpc = Rpc("asker-svc#1")
    waiting = _Waiting(
        wire.Request(id="1", call="item.get", data=msgspec.Raw(b"{}")),
        asyncio.get_running_loop().create_future(),
        "item-svc",
        may_be_repeated=False,
    )
    rpc._pending["1"] = waiting
    rpc._answerers |= {"item-svc", "order-svc"}
    body = wire.encode([wire.Outcome(id="1")])
    for stranger in (None, "coupon-svc", "order-svc"):
        rpc._take(Message(Basic.Properties(user_id=stranger), body, 1, None))  # type: ignore[arg-type]
        assert not waiting.outcome.done()
    rpc._take(Message(Basic.Properties(user_id="item-svc"), body, 1, None))  # type: ignore[arg-type]
    assert waiting.outcome.result().id == "1"


async def test_a_queue_that_is_made_anew_keeps_whose_its_messages_are(lab: Lab, own_broker: Layout) -> None:
    _, queue = topology.event_queues(unique("old"), f"{unique('pub')}.marked")
    declared = await lab.channel.declare_queue(queue.name, durable=True, arguments=OLD)
    assert queue.binding is not None
    await topology.bind(lab.channel, declared, queue.binding)
    for user_id in (lab.user_id, None):
        await lab.send("", b"[]", queue.name, user_id=user_id, delivery_mode=2)
    async with await aio_pika.connect(own_broker.amqp_url_of(MIGRATE)) as connection:
        assert await bring_about(connection, queue)
    found: list[AbstractIncomingMessage] = []
    while (one := await lab.take(queue.name)) is not None:
        found.append(one)
    assert [one.user_id for one in found] == [lab.user_id, None]
