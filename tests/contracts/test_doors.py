"""Every exchange and queue, and every call, tried with every service's credentials on a real broker.

All of it is in a virtual host of its own, with the names of the shop and none of its messages.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import cast
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import httpx
import msgspec
import pytest
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import AMQPError

from deploy import broker_users
from deploy.local.layout import Layout
from shared.addresses import AMQP, parse
from shared.broker import topology
from shared.broker.connecting import connect
from shared.broker.identity import MIGRATE, named
from shared.broker.link import Link
from shared.permissions import OTHERS, PEOPLE, permission_of
from shared.rpc import wire
from shared.rpc.answering import Answering
from shared.rpc.callers import ROOT, all_callers, may_call
from shared.rpc.server import RpcServer
from tests.contracts.house import SERVICES
from tests.contracts.test_permissions import EXCHANGES, HEARD, QUEUES
from tests.support.waiting import eventually

ANSWERING = sorted(name for name, service in SERVICES.items() if service.answers)
CALLS = sorted(all_callers(ROOT))
TOPICS = {topology.events_exchange(name) for name in SERVICES}
RETRIES = {one for one in EXCHANGES if ".retry." in one}


class Host:
    """A virtual host, and the ways into it."""

    def __init__(self, at: Layout, name: str) -> None:
        self._at = at
        self.name = name

    def url(self, user: str) -> str:
        """This host as that user signs in."""
        parts = urlsplit(self._at.amqp_url_of(user))
        return urlunsplit(parts._replace(path=f"/{quote(self.name, safe='')}"))

    @asynccontextmanager
    async def signed_in(self, user: str) -> AsyncIterator[AbstractConnection]:
        """A connection of that user."""
        async with await aio_pika.connect(self.url(user)) as connection:
            yield connection


@contextmanager
def fresh_host(own_broker: Layout) -> Iterator[Host]:
    """A fresh virtual host, in which the services' users may do what they may in the shop's."""
    name = f"doors-{uuid4().hex[:8]}"
    permissions = [*map(permission_of, SERVICES.values()), *OTHERS]
    url = own_broker.management_url or ""
    broker_users.send(url, broker_users.definitions(permissions, own_broker.broker_password, name))
    yield Host(own_broker, name)
    httpx.delete(f"{url}/api/vhosts/{name}", trust_env=False, timeout=30).raise_for_status()


@pytest.fixture
def host(own_broker: Layout) -> Iterator[Host]:
    """A host without anything."""
    with fresh_host(own_broker) as host:
        yield host


@pytest.fixture(scope="module")
async def furnished(own_broker: Layout) -> AsyncIterator[Host]:
    """A host with all names of the shop's exchanges and queues, without what makes them dear."""
    with fresh_host(own_broker) as host:
        await _furnish(host)
        yield host


async def _furnish(host: Host) -> None:
    async with host.signed_in(MIGRATE) as connection, connection.channel() as channel:
        await channel.declare_exchange(topology.RPC_EXCHANGE, ExchangeType.DIRECT, durable=True)
        for exchange in sorted(TOPICS):
            await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)
        for exchange in sorted(RETRIES):
            await channel.declare_exchange(exchange, ExchangeType.FANOUT, durable=True)
        for queue in sorted(QUEUES):
            await channel.declare_queue(queue, durable=True)


async def passing(
    connection: AbstractConnection,
    names: Iterable[str],
    attempt: Callable[[AbstractChannel, str], Awaitable[object]],
) -> set[str]:
    """With which of these names the broker lets it be done."""
    passed: set[str] = set()
    channel = await connection.channel()
    for name in names:
        try:
            await attempt(channel, name)
            passed.add(name)
        except AMQPError:  # the broker has closed the channel
            channel = await connection.channel()
    await channel.close()
    return passed


async def _get(channel: AbstractChannel, queue: str) -> None:
    await (await channel.get_queue(queue, ensure=False)).get(no_ack=True, fail=False)


async def _declare(channel: AbstractChannel, queue: str) -> None:
    await channel.declare_queue(queue, durable=True)


async def _bind(channel: AbstractChannel, queue: str) -> None:
    await (await channel.get_queue(queue, ensure=False)).bind(topology.RPC_EXCHANGE, routing_key="nothing")


@pytest.mark.parametrize("name", list(SERVICES))
async def test_a_queue_opens_to_its_own_service_alone(furnished: Host, name: str) -> None:
    calls = {topology.rpc_queue(name)} & QUEUES.keys()
    dead = {queue for queue in QUEUES if queue.endswith(".dead")} if name == "query" else set[str]()
    heard = {queue for queue, owner in HEARD.items() if owner == name}
    async with furnished.signed_in(named(name)) as connection:
        assert await passing(connection, QUEUES, _get) == heard | calls | dead
        assert await passing(connection, [*QUEUES, f"{name}.new", f"{name}.dead", "new"], _declare) == calls
        # A queue of retries bears the name of its exchange.
        retries = {one for one in RETRIES if one.startswith(topology.retries_of(name))}
        assert await passing(connection, QUEUES, _bind) == calls | retries


@pytest.mark.parametrize("name", list(SERVICES))
async def test_an_exchange_opens_to_its_publisher_and_to_the_taps_of_who_has_some(
    furnished: Host, name: str
) -> None:
    own = {topology.events_exchange(name)} if SERVICES[name].publishes else set[str]()
    own |= {one for one in RETRIES if one.startswith(topology.retries_of(name))}
    tapped = {one.view.wire_name for one in SERVICES[name].taps}

    async def publish(channel: AbstractChannel, exchange: str) -> None:
        message = aio_pika.Message(b"", user_id=named(name))
        key = f"{name}.nothing"
        await (await channel.get_exchange(exchange, ensure=False)).publish(message, key, mandatory=False)

    async def tap(channel: AbstractChannel, event: str) -> None:
        queue = await channel.declare_queue(f"{named(name)}#1.tap.{uuid4().hex}", exclusive=True)
        await queue.bind(topology.events_exchange(event.partition(".")[0]), routing_key=event)

    async def configure(channel: AbstractChannel, exchange: str) -> None:
        await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)

    events = {event.wire_name for service in SERVICES.values() for event in service.publishes}
    everything = {f"{service}.#" for service in SERVICES} | {f"{service}.*" for service in SERVICES}
    async with furnished.signed_in(named(name)) as connection:
        assert await passing(connection, EXCHANGES, publish) == own | {topology.RPC_EXCHANGE}
        assert await passing(connection, events | everything, tap) == tapped
        assert await passing(connection, [*TOPICS, "new.events"], configure) == set()


async def test_nobody_bears_anothers_name(furnished: Host) -> None:
    async def publish(channel: AbstractChannel, user_id: str) -> None:
        message = aio_pika.Message(b"", user_id=user_id)
        await channel.default_exchange.publish(message, "nowhere", mandatory=False)

    users = [named(name) for name in SERVICES]
    for user in (*users, PEOPLE):
        async with furnished.signed_in(user) as connection:
            assert await passing(connection, [*users, PEOPLE], publish) == {user}
    # Who moves messages from a queue to its successor leaves them their names.
    async with furnished.signed_in(MIGRATE) as connection:
        assert await passing(connection, users, publish) == set(users)


class Answers:
    """Stands in for the answering of calls: remembers who made which, as the call's id says."""

    def __init__(self, service: str) -> None:
        self.names = [call for call in CALLS if call.startswith(f"{service}.")]
        self.taken: list[str] = []

    async def answer(self, request: wire.Request, arrived: float) -> wire.Outcome:
        """Take a call."""
        self.taken.append(request.id)
        return wire.Outcome(id=request.id)


async def test_a_call_is_answered_to_who_may_make_it_and_to_nobody_else(host: Host) -> None:
    desks = {name: Answers(name) for name in ANSWERING}
    callers = {**{named(name): name for name in SERVICES}, PEOPLE: "", MIGRATE: ""}
    allowed = {f"{user} {call}" for user, name in callers.items() for call in CALLS if may_call(name, call)}
    async with AsyncExitStack() as open_:
        migrate = await open_.enter_async_context(host.signed_in(MIGRATE))
        declaring = await migrate.channel()
        await topology.declare_rpc_exchange(declaring)
        for name in ANSWERING:
            await topology.declare(declaring, topology.strange_calls_queue(name))
            server = RpcServer(name, f"{named(name)}#1", cast(Answering, desks[name]))
            link = Link(host.url(named(name)), f"{named(name)}#1 calls")
            link.use(server.set_up, server.tear_down)
            link.start()
            open_.push_async_callback(link.stop)
            assert await link.wait_up(15)
        answered: list[str] = []
        for user in callers:
            connection = await open_.enter_async_context(host.signed_in(user))
            await _make_every_call(connection, user, user, answered)
            if user == named("gateway"):
                await _make_every_call(connection, "nobody", None, answered)

        async def answers() -> set[str]:
            return set(answered)

        await eventually(answers, holds=lambda found: found >= allowed)
        strange = (len(callers) + 1) * len(CALLS) - len(allowed)

        async def put_down() -> int:
            queues = [topology.strange_calls_queue(name).name for name in ANSWERING]
            found = [await declaring.declare_queue(queue, passive=True) for queue in queues]
            return sum(one.declaration_result.message_count or 0 for one in found)

        assert await eventually(put_down, holds=lambda count: count == strange) == strange
    assert set(answered) == allowed
    assert {call for desk in desks.values() for call in desk.taken} == allowed


async def _make_every_call(
    connection: AbstractConnection, who: str, user_id: str | None, answered: list[str]
) -> None:
    channel = await connection.channel(publisher_confirms=False)
    replies = await channel.get_queue(topology.REPLIES, ensure=False)

    async def take(message: AbstractIncomingMessage) -> None:
        answered.extend(outcome.id for outcome in wire.decode_outcomes(message.body))

    await replies.consume(take, no_ack=True)
    exchange = await channel.get_exchange(topology.RPC_EXCHANGE, ensure=False)
    for call in CALLS:
        request = wire.Request(id=f"{who} {call}", call=call, data=msgspec.Raw(b"{}"))
        message = aio_pika.Message(
            wire.encode([request]), type=call, reply_to=topology.REPLIES, user_id=user_id, app_id=who
        )
        await exchange.publish(message, call.partition(".")[0], mandatory=False)


async def test_the_broker_refuses_who_has_no_password_of_ours(host: Host) -> None:
    for login in ("guest:guest", "shop:shop", "item-svc:item-svc", "item-svc:"):
        parts = urlsplit(host.url(PEOPLE))
        url = urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))
        with pytest.raises((AMQPError, ConnectionError)):
            await asyncio.wait_for(connect(parse(url, AMQP), "stranger"), 10)
