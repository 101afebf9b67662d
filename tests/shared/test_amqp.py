"""Our channel: bytes as the library writes them, and a broker that takes, confirms, refuses and returns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from aiormq.abc import ChannelFrame
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands as amqp
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shared.broker import (
    Address,
    Channel,
    Congested,
    Message,
    NotConfirmed,
    Properties,
    Unroutable,
    counted,
    table,
)
from shared.broker.frames import acknowledgement, packed
from shared.broker.headers import unreadable
from shared.broker.outlet import BACKLOG_BYTES
from tests.shared.lab import Lab, unique
from tests.support import strange
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

FRAME_MAX = 131_072
PERSISTENT = 2
MOMENT = datetime(2026, 11, 26, 5, 30, tzinfo=UTC)
texts = st.text(max_size=60).filter(lambda text: "\0" not in text)
properties_of_messages = st.builds(
    Properties,
    message_id=texts,
    type=texts,
    app_id=texts,
    timestamp=st.integers(0, 2**32 - 1).map(lambda second: datetime.fromtimestamp(second, UTC)),
    content_type=texts,
    headers=st.integers(1, 1000).map(counted),
    is_persistent=st.booleans(),
    correlation_id=st.none() | texts,
    reply_to=st.none() | texts,
    expiration_ms=st.none() | st.integers(1, 10**9),
)


def told(message_id: str = "m", *, persistent: bool = False, headers: bytes | None = None) -> Properties:
    return Properties(
        message_id=message_id,
        type="told",
        app_id="test",
        timestamp=MOMENT,
        content_type="text/plain",
        headers=headers or counted(1),
        is_persistent=persistent,
    )


class TestFrames:
    @given(properties_of_messages, texts, st.booleans(), st.binary(max_size=50))
    def test_they_say_what_they_were_told(
        self, properties: Properties, key: str, mandatory: bool, body: bytes
    ) -> None:
        address = Address("shop.events", key, mandatory)
        found = _frames(packed(7, address, properties, body, FRAME_MAX, "told-svc"))
        assert {channel for channel, _ in found} == {7}
        method, header, *bodies = [one for _, one in found]
        assert isinstance(method, amqp.Basic.Publish)
        assert (method.exchange, method.routing_key, method.mandatory) == address
        assert isinstance(header, ContentHeader)
        assert header.body_size == len(body)
        assert b"".join(part.value for part in bodies if isinstance(part, ContentBody)) == body
        said = header.properties
        expiration = properties.expiration_ms
        assert (
            Properties(
                message_id=said.message_id or "",
                type=said.message_type or "",
                app_id=said.app_id or "",
                timestamp=said.timestamp or MOMENT,
                content_type=said.content_type or "",
                headers=table(said.headers or {}),
                is_persistent=said.delivery_mode == PERSISTENT,
                correlation_id=said.correlation_id,
                reply_to=said.reply_to,
                expiration_ms=expiration,
            )
            == properties
        )
        assert said.user_id == "told-svc"
        assert said.expiration == (None if expiration is None else str(expiration))

    def test_they_are_the_same_bytes_as_the_librarys(self) -> None:
        address = Address("shop", "told", mandatory=True)
        ours = packed(3, address, told("id", persistent=True), b"body", 4096, "told-svc")
        theirs = ChannelFrame.marshall(
            3,
            [
                amqp.Basic.Publish(exchange="shop", routing_key="told", mandatory=True),
                ContentHeader(
                    body_size=4,
                    properties=amqp.Basic.Properties(
                        message_id="id",
                        message_type="told",
                        user_id="told-svc",
                        app_id="test",
                        timestamp=MOMENT,
                        content_type="text/plain",
                        headers={"x-count": 1},
                        delivery_mode=PERSISTENT,
                    ),
                ),
                ContentBody(b"body"),
            ],
        ).payload
        assert ours == theirs

    @pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 8176, 20_000])
    def test_a_body_is_cut_so_that_no_frame_is_too_long(self, size: int) -> None:
        body = bytes(number % 251 for number in range(size))
        found = _frames(packed(1, Address("", "q", mandatory=False), told(), body, 4096, "u"))
        parts = [part.value for _, part in found if isinstance(part, ContentBody)]
        assert b"".join(parts) == body
        assert all(0 < len(part) + 8 <= 4096 for part in parts)

    def test_a_text_that_has_no_room_is_refused(self) -> None:
        with pytest.raises(ValueError, match="256"):
            packed(1, Address("", "q", mandatory=False), told("x" * 256), b"", 4096, "u")

    @settings(max_examples=40)
    @given(
        st.lists(st.tuples(properties_of_messages, st.binary(max_size=400)), min_size=1, max_size=4),
        st.lists(st.integers(1, 600), max_size=60),
        st.integers(64, 200),
    )
    async def test_the_library_reads_them_in_whatever_portions_they_arrive(
        self, messages: list[tuple[Properties, bytes]], portions: list[int], frame_max: int
    ) -> None:
        address = Address("shop.events", "told", mandatory=True)
        stream = b"".join(
            packed(5, address, properties, body, frame_max, "u") for properties, body in messages
        )
        reader = asyncio.StreamReader()
        receiver = FrameReceiver(reader)
        found: list[tuple[int, object]] = []
        reading = asyncio.create_task(_read_all(receiver, found))
        at = 0
        for size in portions:
            reader.feed_data(stream[at : at + size])
            at += size
            await asyncio.sleep(0)
        reader.feed_data(stream[at:])
        reader.feed_eof()
        await reading
        assert [channel for channel, _ in found] == [5] * len(found)
        frames = iter(one for _, one in found)
        for properties, body in messages:
            assert isinstance(next(frames), amqp.Basic.Publish)
            header = next(frames)
            assert isinstance(header, ContentHeader)
            assert (header.body_size, header.properties.message_type) == (len(body), properties.type)
            read = b""
            while len(read) < len(body):
                part = next(frames)
                assert isinstance(part, ContentBody)
                read += part.value
            assert read == body
        assert next(frames, None) is None

    @pytest.mark.parametrize("number", [1, 255, 2**40])
    def test_an_acknowledgement_is_the_librarys(self, number: int) -> None:
        theirs = frame.marshal(amqp.Basic.Ack(delivery_tag=number, multiple=False), 9)
        assert acknowledgement(9, number) == theirs


async def _read_all(receiver: FrameReceiver, found: list[tuple[int, object]]) -> None:
    with suppress(AMQPConnectionError):  # says that nothing more comes
        async for _, channel, one in receiver:
            found.append((channel, one))


@pytest.fixture
async def connection(lab: Lab) -> AsyncIterator[AbstractConnection]:
    """A connection of the test's own, which it may lose."""
    connection = await aio_pika.connect(lab.amqp_url)
    yield connection
    await connection.close()


@pytest.fixture
async def queue(lab: Lab) -> AsyncIterator[str]:
    """An empty queue."""
    name = unique("amqp.")
    queue = await lab.channel.declare_queue(name, durable=True)
    yield name
    await queue.delete(if_unused=False, if_empty=False)


def to(queue: str, *, mandatory: bool = True) -> Address:
    return Address("", queue, mandatory)


async def test_what_is_confirmed_arrives_with_all_it_was_told(connection: AbstractConnection, queue: str):
    channel = await Channel.open(connection, confirms=True, prefetch=10)
    arrived: asyncio.Queue[Message] = asyncio.Queue()
    await channel.consume(queue, "taker", arrived.put_nowait)
    sent = told("one", persistent=True, headers=table({"x-count": 1, "x-attempt": 3, "x-why": "żółć"}))
    await channel.publish_confirmed(to(queue), sent, b"body")
    message = await asyncio.wait_for(arrived.get(), 5)
    assert (message.body, message.headers) == (b"body", {"x-count": 1, "x-attempt": 3, "x-why": "żółć"})
    said = message.properties
    assert (said.message_id, said.message_type, said.app_id) == ("one", "told", "test")
    assert (said.timestamp, said.content_type, said.delivery_mode) == (MOMENT, "text/plain", 2)


@pytest.mark.parametrize("size", [0, 131_064, 131_065, 1_000_000])
async def test_a_message_of_any_size_arrives_whole(connection: AbstractConnection, queue: str, size: int):
    channel = await Channel.open(connection, confirms=True)
    arrived: asyncio.Queue[Message] = asyncio.Queue()
    await channel.consume(queue, "taker", arrived.put_nowait, no_ack=True)
    body = bytes(number % 251 for number in range(size))
    for number in range(2):  # the second shows that nothing of the first was left over
        await channel.publish_confirmed(to(queue), told(str(number)), body)
        assert (await asyncio.wait_for(arrived.get(), 5)).body == body


async def test_many_at_once_are_confirmed_and_keep_their_order(connection: AbstractConnection, queue: str):
    channel = await Channel.open(connection, confirms=True)
    numbers = [str(number) for number in range(500)]
    await asyncio.gather(
        *(channel.publish_confirmed(to(queue), told(number), number.encode()) for number in numbers)
    )
    arrived: list[str] = []
    await channel.consume(queue, "taker", lambda message: arrived.append(message.body.decode()), no_ack=True)
    await eventually(lambda: _when(len(arrived) == len(numbers)))
    assert arrived == numbers


async def test_only_what_was_not_acknowledged_comes_again(
    lab: Lab, connection: AbstractConnection, queue: str
):
    channel = await Channel.open(connection, confirms=True, prefetch=3)
    arrived: list[Message] = []
    await channel.consume(queue, "taker", arrived.append)
    for number in range(4):
        await channel.publish_confirmed(to(queue), told(str(number)), str(number).encode())
    await eventually(lambda: _when(len(arrived) == 3))  # the fourth waits for room
    for message in arrived[1:3]:
        message.ack()
    await eventually(lambda: _when(len(arrived) == 4))
    await channel.cancel("taker")
    arrived[3].ack()
    await channel.flush(5)
    await connection.close()
    assert await eventually(lambda: lab.length(queue)) == 1
    left = await lab.take(queue)
    assert left is not None
    assert left.body == b"0"


async def test_without_a_queue_a_mandatory_message_is_unroutable(connection: AbstractConnection):
    channel = await Channel.open(connection, confirms=True)
    nowhere = unique("nowhere.")
    outcomes = await asyncio.gather(
        channel.publish_confirmed(to(nowhere), told("lost"), b"lost"),
        channel.publish_confirmed(to(nowhere, mandatory=False), told("unheard"), b"unheard"),
        channel.publish_confirmed(to(nowhere), told("lost too"), b"lost"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Unroutable, type(None), Unroutable]


async def test_without_confirms_it_comes_back_to_whoever_wants_it(connection: AbstractConnection):
    channel = await Channel.open(connection)
    back: asyncio.Queue[Message] = asyncio.Queue()
    channel.on_return(back.put_nowait)
    channel.publish(to(unique("nowhere.")), told("mine"), b"mine")
    message = await asyncio.wait_for(back.get(), 5)
    assert (message.properties.message_id, message.body) == ("mine", b"mine")


async def test_what_a_full_queue_refuses_is_not_confirmed(lab: Lab, connection: AbstractConnection):
    full = await lab.channel.declare_queue(
        unique("full."), arguments={"x-max-length": 1, "x-overflow": "reject-publish"}, auto_delete=True
    )
    channel = await Channel.open(connection, confirms=True)
    await channel.publish_confirmed(to(full.name), told("first"), b"")
    with pytest.raises(NotConfirmed, match="refused"):
        await channel.publish_confirmed(to(full.name), told("second"), b"")
    await full.delete(if_empty=False)


async def test_what_was_not_confirmed_when_the_connection_broke_is_said_so(
    connection: AbstractConnection, queue: str
):
    channel = await Channel.open(connection, confirms=True)
    waiting = asyncio.gather(
        *(channel.publish_confirmed(to(queue), told(str(n)), b"") for n in range(50)), return_exceptions=True
    )
    await asyncio.sleep(0)  # all of them are under way
    channel.give_up()
    assert {type(outcome) for outcome in await waiting} == {NotConfirmed}


async def test_a_broker_that_does_not_read_is_not_heaped_up_before(lab: Lab, queue: str):
    async with proxy_to(lab.amqp_url) as proxy:
        connection = await aio_pika.connect(proxy.via(lab.amqp_url))
        plain, confirming = await Channel.open(connection), await Channel.open(connection, confirms=True)
        proxy.stall()
        body = b"x" * 200_000
        with pytest.raises(Congested):
            await _heap_up(plain, queue, body)
        waiting = [
            asyncio.ensure_future(confirming.publish_confirmed(to(queue), told(str(number)), body))
            for number in range(200)
        ]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
        assert confirming._outlet._unflushed < BACKLOG_BYTES + 2 * len(body)
        await proxy.heal()
        await asyncio.wait_for(asyncio.gather(*waiting), 15)
        plain.publish(to(queue), told("again"), b"again")
        await connection.close()


async def test_nobody_waits_for_a_connection_that_is_given_up(lab: Lab, queue: str):
    async with proxy_to(lab.amqp_url) as proxy:
        connection = await aio_pika.connect(proxy.via(lab.amqp_url))
        channel = await Channel.open(connection, confirms=True)
        await channel.consume(queue, "taker", lambda _: None)
        proxy.stall()
        body = b"x" * 1_000_000
        waiting = [
            asyncio.ensure_future(channel.publish_confirmed(to(queue), told(str(number)), body))
            for number in range(20)
        ]
        waiting.append(asyncio.ensure_future(channel.cancel("taker")))
        flushing = asyncio.ensure_future(channel.flush(5))
        await asyncio.wait(waiting, timeout=0.1)
        channel.give_up()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
        assert [type(outcome) for outcome in outcomes] == [NotConfirmed] * 20 + [ConnectionError]
        await asyncio.wait_for(flushing, 1)
        channel.ack(1)  # too late, and harmless
        await proxy.cut()


async def test_a_queue_that_is_not_there_is_said_so(connection: AbstractConnection, queue: str):
    channel = await Channel.open(connection)
    with pytest.raises(ChannelNotFoundEntity, match="no queue"):
        await channel.consume(unique("nothing."), "taker", lambda _: None)
    other = await Channel.open(connection)  # the connection lives on
    await other.consume(queue, "taker", lambda _: None)


async def test_a_queue_that_is_taken_away_takes_the_connection_along(
    lab: Lab, connection: AbstractConnection, queue: str
):
    channel = await Channel.open(connection)
    await channel.consume(queue, "taker", lambda _: None)
    await (await lab.channel.get_queue(queue)).delete(if_unused=False, if_empty=False)
    await eventually(lambda: _when(connection.is_closed))


async def test_a_channel_that_is_closed_takes_the_connection_along(
    connection: AbstractConnection, queue: str
):
    channel = await Channel.open(connection)
    await channel.consume(queue, "taker", lambda _: None)
    channel.ack(17)  # nothing was ever given out under this number
    await eventually(lambda: _when(connection.is_closed))


async def test_one_that_cannot_be_handled_does_not_stop_the_next(connection: AbstractConnection, queue: str):
    channel = await Channel.open(connection, confirms=True)
    arrived: list[bytes] = []

    def take(message: Message) -> None:
        if message.body == b"bad":
            raise RuntimeError("not this one")
        arrived.append(message.body)

    await channel.consume(queue, "taker", take, no_ack=True)
    for body in (b"good", b"bad", b"better"):
        await channel.publish_confirmed(to(queue), told(), body)
    await eventually(lambda: _when(len(arrived) == 2))
    assert arrived == [b"good", b"better"]


@pytest.mark.parametrize(
    ("key", "properties"),
    [
        ("strange", strange.MICROSECONDS),
        ("strange", strange.NAME_NO_TEXT),
        ("strange", strange.ID_NO_TEXT),
        (b"strange.\xff", b"\x00\x00"),
    ],
    ids=["a time in microseconds", "a header's name", "an id", "a routing key"],
)
async def test_what_nobody_can_read_is_handed_over_with_its_octets_and_the_next_comes(
    lab: Lab, connection: AbstractConnection, queue: str, key: str | bytes, properties: bytes
):
    exchange = await lab.channel.declare_exchange(unique("strange"), "topic", auto_delete=True)
    await (await lab.channel.get_queue(queue)).bind(exchange, "#")
    channel = await Channel.open(connection, confirms=True, prefetch=10)
    arrived: asyncio.Queue[Message] = asyncio.Queue()
    await channel.consume(queue, "taker", arrived.put_nowait)
    await strange.publish(lab.amqp_url, exchange.name, key, b"[1]", properties)
    await channel.publish_confirmed(to(queue), told("next"), b"[2]")
    first, second = await arrived.get(), await arrived.get()
    assert (first.body, second.body, second.properties.message_id) == (b"[1]", b"[2]", "next")
    if isinstance(key, str):
        assert first.headers["x-unreadable-octets"] == strange.octets_of(properties)
        assert unreadable(first.headers)
    else:
        assert unreadable(first.headers) is None
    for one in (first, second):
        one.ack()
    await channel.cancel("taker")
    # The library's own channels read them, too.
    await strange.publish(lab.amqp_url, exchange.name, key, b"[3]", properties)
    taken = await eventually(lambda: lab.take(queue))
    assert taken is not None
    assert taken.body == b"[3]"


async def test_it_stands_beside_the_librarys_channels(connection: AbstractConnection, queue: str):
    before = await connection.channel()
    ours = await Channel.open(connection, confirms=True)
    after = await connection.channel()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    await ours.consume(queue, "taker", lambda message: arrived.put_nowait(message.body), no_ack=True)
    for channel in (before, after):
        await channel.default_exchange.publish(aio_pika.Message(b"theirs"), routing_key=queue)
        assert await asyncio.wait_for(arrived.get(), 5) == b"theirs"
        await channel.close()
    await ours.publish_confirmed(to(queue), told(), b"ours")
    assert await asyncio.wait_for(arrived.get(), 5) == b"ours"


async def _heap_up(channel: Channel, queue: str, body: bytes) -> None:
    for number in range(200):
        channel.publish(to(queue), told(str(number)), body)
        await asyncio.sleep(0)


def _frames(octets: bytes) -> list[tuple[int, frame.FrameTypes]]:
    found: list[tuple[int, frame.FrameTypes]] = []
    while octets:
        size, channel, one = frame.unmarshal(octets)
        found.append((channel, one))
        octets = octets[size:]
    return found


async def _when(condition: bool) -> bool:
    return condition
