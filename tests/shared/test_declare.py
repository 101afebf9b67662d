"""What is declared before anybody publishes, and queues that an earlier release declared otherwise."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from shared import crash, declare
from shared.broker import moving, topology
from shared.broker.moving import InUse, bring_about
from shared.broker.topology import Queue
from shared.crash import MOVING
from shared.declare import declare_all, queues_of
from shared.events import cloudevents
from shared.service.service import Service
from shared.settings import Settings
from tests.shared.lab import Lab, event, unique
from tests.shared.test_consumer import Ear
from tests.shared.tiny.service import tiny
from tests.support.waiting import eventually

OLD = {"x-queue-type": "quorum", "x-delivery-limit": 20}
"""As an earlier release declared its queues."""


class Killed(Exception):
    """What stands for SIGKILL in the process of the test."""


@pytest.fixture
async def connection(lab: Lab) -> AsyncIterator[AbstractConnection]:
    """A connection of the test's own."""
    connection = await aio_pika.connect(lab.amqp_url)
    async with connection:
        yield connection


async def old_queue(lab: Lab, *, messages: int) -> Queue:
    """A queue as it has to be, while the broker has an older one, bound, with messages in it."""
    _, queue = topology.event_queues(unique("old"), f"{unique('pub')}.marked")
    declared = await lab.channel.declare_queue(queue.name, durable=True, arguments=OLD)
    assert queue.binding is not None
    await topology.bind(lab.channel, declared, queue.binding)
    for number in range(messages):
        await lab.send(queue.binding.exchange, b"[%d]" % number, queue.binding.key, headers={"n": number})
    await eventually(lambda: lab.length(queue.name), holds=lambda length: length == messages)
    return queue


async def found_in(lab: Lab, queue: Queue) -> list[tuple[bytes, Any, str | None]]:
    """Take everything out of a queue."""
    found: list[tuple[bytes, Any, str | None]] = []
    while (one := await lab.take(queue.name)) is not None:
        found.append((one.body, one.headers.get("n"), one.routing_key))
    return found


async def test_a_queue_of_an_earlier_release_is_made_anew_with_all_that_is_in_it(
    lab: Lab, connection: AbstractConnection
):
    queue = await old_queue(lab, messages=120)
    assert await bring_about(connection, queue)
    assert not await bring_about(connection, queue), "a second run changes nothing"
    assert (await lab.management(f"queues/%2F/{queue.name}"))["arguments"] == queue.arguments
    assert queue.binding is not None
    await lab.send(queue.binding.exchange, b"[120]", queue.binding.key, headers={"n": 120})
    found = await eventually(lambda: found_in(lab, queue), within_s=1)
    assert found == [(b"[%d]" % number, number, queue.binding.key) for number in range(121)]
    left = {one["name"] for one in await lab.management("queues/%2F")}
    assert moving.twin_of(queue).name not in left


@pytest.mark.parametrize("step", MOVING)
async def test_killed_at_any_step_it_goes_on_where_it_was(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, step: str
):
    queue = await old_queue(lab, messages=3)
    assert queue.binding is not None

    def die(point: str) -> None:
        if point == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(crash, "here", die)
        dying = await aio_pika.connect(lab.amqp_url)
        with pytest.raises(Killed):
            await bring_about(dying, queue)
        await dying.close()
    # Whatever is said meanwhile is not lost either.
    await lab.send(queue.binding.exchange, b"[3]", queue.binding.key, headers={"n": 3}, delivery_mode=2)
    connection = await aio_pika.connect(lab.amqp_url)
    async with connection:
        await bring_about(connection, queue)
        assert not await bring_about(connection, queue)
    found = await found_in(lab, queue)
    assert {number for _, number, _ in found} == {0, 1, 2, 3}
    assert {key for _, _, key in found} == {queue.binding.key}


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """The suite's broker has been up for long enough."""
    monkeypatch.setattr(declare, "SETTLED_SECONDS", 0.0)


async def test_a_process_that_is_killed_is_carried_on_by_the_next(lab: Lab):
    name = unique("svc")
    publisher = unique("pub")
    dead, queue = topology.event_queues(name, f"{publisher}.marked")
    await lab.channel.declare_queue(dead.name, durable=True, arguments=OLD)
    for number in range(3):
        await lab.send("", b"[%d]" % number, dead.name, headers={"n": number}, delivery_mode=2)

    environment = {
        **os.environ,
        "TINY_NAME": name,
        "TINY_HEARS": publisher,
        "SHOP_AMQP_URL": lab.amqp_url,
        "SHOP_CRASH_AT": "moving.unbound",
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.declare", "tests.shared.tiny", env=environment
    )
    assert await running.wait() == -9
    assert await declare_all([tiny(name, publisher)], _settings(lab)) == []
    assert (await lab.management(f"queues/%2F/{dead.name}"))["arguments"] == dead.arguments
    assert [number for _, number, _ in await found_in(lab, dead)] == [0, 1, 2]
    assert await lab.length(queue.name) == 0


async def test_a_queue_that_is_consumed_is_left_as_it_is_and_works_on(lab: Lab, url: str):
    ear = Ear(lab)
    dead, queue = topology.event_queues(ear.name, ear.kind)
    for one in (dead, queue):
        await lab.channel.declare_queue(one.name, durable=True, arguments=OLD)
    async with ear.running(url):
        await ear.tell("before")
        await ear.handled(url, "before")
        left = await declare_all([ear.service], _settings(lab))
        assert [ear.queue in one for one in left] == [True], "the other queues are as they have to be"
        await ear.tell("after")
        await ear.handled(url, "after", "before")
    assert await declare_all([ear.service], _settings(lab)) == []
    assert (await lab.management(f"queues/%2F/{ear.queue}"))["arguments"] == queue.arguments


async def test_who_comes_to_consume_meanwhile_has_it_as_it_was(
    lab: Lab, connection: AbstractConnection, monkeypatch: pytest.MonkeyPatch
):
    queue = await old_queue(lab, messages=3)
    refuse = moving._refuse_consumed
    looked = 0

    async def second_time(*args: Any) -> None:
        nonlocal looked
        looked += 1
        if looked == 2:
            raise InUse("a process came")
        await refuse(*args)

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_refuse_consumed", second_time)
        with pytest.raises(InUse):
            await bring_about(connection, queue)
    assert (await lab.management(f"queues/%2F/{queue.name}"))["arguments"] == OLD
    assert queue.binding is not None
    await lab.send(queue.binding.exchange, b"[3]", queue.binding.key, headers={"n": 3})
    assert [number for _, number, _ in await found_in(lab, queue)] == [0, 1, 2, 3]


async def test_what_is_said_before_a_consumer_ever_ran_waits_for_it(lab: Lab, url: str):
    ear = Ear(lab)
    await declare_all([ear.service, tiny(ear.publisher)], _settings(lab))
    body = cloudevents.batch([event(ear.kind, {"key": "early", "text": ""})])
    await lab.send(f"{ear.publisher}.events", body, ear.kind, delivery_mode=2)
    async with ear.running(url):
        await ear.handled(url, "early")


def test_everything_that_outlives_a_process_is_declared():
    service = tiny("ear", "pub")
    names = [queue.name for queue in queues_of(service, (5, 300))]
    assert names == [
        "ear.retry.5s",
        "ear.retry.5min",
        "ear.pub.marked.dead",
        "ear.pub.marked",
        "rpc.ear.dead",
    ]
    assert queues_of(Service("deaf"), (5,)) == []


async def test_a_dead_letter_that_is_given_back_again_and_again_stays(lab: Lab):
    dead, _ = topology.event_queues(unique("deaf"), "pub.marked")
    # The same with a limit that a test can reach: the broker has nowhere else to send it, and keeps it.
    assert dead.arguments["x-delivery-limit"] == 1_000_000
    await topology.declare(lab.channel, dead)
    await lab.send("", b"[1]", dead.name, delivery_mode=2)
    for _ in range(30):
        message = await eventually(lambda: _get(lab, dead.name), within_s=5)
        await message.reject(requeue=True)
    assert (await eventually(lambda: _get(lab, dead.name))).headers["x-delivery-count"] == 30


async def _get(lab: Lab, queue: str) -> Any:
    return await (await lab.channel.get_queue(queue, ensure=False)).get(no_ack=False, fail=False)


def _settings(lab: Lab) -> Settings:
    return Settings(amqp_url=lab.amqp_url, retry_delays_s="0.2,0.3")
