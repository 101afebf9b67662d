"""What every service answers about itself, without a line of its own."""

import pytest

from shared.errors import Unavailable
from shared.events.outbox import Outbox
from shared.rpc import Rpc
from shared.service.describe import describe_call, outbox_call, publish_outbox_call, registrations
from shared.service.service import Service
from tests.shared.lab import Lab, unique
from tests.shared.tiny.service import tiny
from tests.support.calling import SIGNER
from tests.support.waiting import eventually


def test_a_service_tells_what_it_is_made_of() -> None:
    told = registrations(tiny("teller", "talker"))
    assert [(one.event, one.exchange, one.subject) for one in told.publishes] == [
        ("teller.marked", "teller.events", "key"),
        ("teller.noted", "teller.events", "key"),
    ]
    [heard] = told.hears
    assert (heard.event, heard.queue, heard.batch) == ("talker.marked", "teller.talker.marked", 16)
    assert heard.handler.endswith("note")
    assert [(one.call, one.idempotent) for one in told.answers] == [
        ("teller.put", True),
        ("teller.ask", True),
        ("teller.ask_once", False),
        ("teller.carry", False),
    ]
    reference = told.publishes[0].schema["$ref"].removeprefix("#/components/schemas/")
    assert reference.startswith("teller.")
    assert told.schemas[reference]["properties"]["key"] == {"type": "string"}


async def test_it_is_answered_over_the_broker_and_over_http_by_each_replica(lab: Lab) -> None:
    name = unique("tiny")
    first = await lab.process(name, await lab.new_database())
    second = await lab.process(name, await lab.new_database(), instance=2)
    peers = f"{name}=http://127.0.0.1:{first.port} other=http://127.0.0.1:1"
    asker = Service(unique("asker"))
    async with lab.running(asker, peers=peers) as runtime:
        told = await runtime.rpc.call(describe_call(name)())
    assert told.registrations.service == name
    peers = f"{name}=http://127.0.0.1:{first.port} {name}2=http://127.0.0.1:{second.port}"
    rpc = Rpc("test", peers=peers, signer=SIGNER)
    try:
        assert rpc.services == [name, f"{name}2"]
        [process] = [one.process for one in await rpc.call_each(describe_call(name)())]
        assert (process.name, process.replica, process.ready) == (f"{name}-svc#1", 1, True)
        assert process.checks["database"] == "ok"
        assert process.memory_bytes is None or process.memory_bytes > 10_000_000
        assert await rpc.call_each(describe_call("nobody")()) == []
    finally:
        await rpc.close()


async def test_one_that_answers_no_calls_is_not_asked(lab: Lab) -> None:
    async with lab.running(Service(unique("mute"))) as runtime:
        assert runtime.answering.names == []
        own = await runtime.description()
        assert (own.process.ready, own.registrations.answers) == (True, [])


BEGUN = "UTC_TIMESTAMP(6) - INTERVAL 60 SECOND"


async def test_an_outbox_is_told_of_and_published_when_asked(lab: Lab, url: str) -> None:
    name = unique("tiny")
    columns = "id, type, count, subjects, correlation_id, body, created_at, available_at, attempts"
    times = f"{BEGUN}, {BEGUN} + INTERVAL %s SECOND"
    row = f"INSERT INTO outbox ({columns}) VALUES (%s, %s, 1, 'a', NULL, %s, {times}, %s)"
    body = (
        '[{"specversion":"1.0","id":"1","source":"/t","type":"x","subject":"a","time":"2026-01-01T00:00Z"}]'
    )
    async with lab.running(tiny(name), database_url=url, outbox_grace_s=300.0) as runtime:
        await lab.sql(url, row, ("fresh", f"{name}.marked", body, 300, 0))
        await lab.sql(url, row, ("leased", f"{name}.marked", body, 300, 3))
        status = await runtime.rpc.call(outbox_call(name)())
        assert (status.pending, status.leased, status.most_attempts, status.connected) == (2, 1, 3, True)
        assert 55 < status.oldest_seconds < 90
        async with lab.wiretap(f"{name}.events") as seen:
            await runtime.rpc.call(publish_outbox_call(name)())
            await eventually(lambda: lab.outbox(url), holds=lambda left: left == ["leased"])
        assert [message.message_id for message in seen] == ["fresh"]


async def test_an_outbox_without_a_broker_cannot_be_published() -> None:
    outbox = Outbox("tiny", None)  # pyright: ignore[reportArgumentType]  it is not asked
    with pytest.raises(Unavailable, match="not connected"):
        outbox.publish_now()
