"""The whole way: a queue gives up, the letter is kept, a person sends it back to that queue and no other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from query_svc.dead_letters import calls, jobs, store
from query_svc.dead_letters import letter as letter_module
from query_svc.dead_letters import office as office_module
from query_svc.dead_letters.contracts import DeadLetter, LetterState, ListDeadLetters, RedriveDeadLetters
from query_svc.dead_letters.letter import letter_of
from query_svc.dead_letters.office import Arrived, DeadLetterOffice
from shared.broker.link import Link
from shared.broker.topology import declare_event_queue
from shared.database.units import Database, DatabaseUnavailable
from shared.ids import new_id
from shared.rpc import Rpc
from tests.shared.lab import Lab, event, unique
from tests.support import strange
from tests.support.calling import SIGNER
from tests.support.waiting import eventually


class Letters:
    """The query service's dead letters at work, without the rest of it."""

    def __init__(self, db: Database, office: DeadLetterOffice) -> None:
        self.db = db
        self.office = office

    async def waiting(self, queue: str, state: LetterState = "DEAD") -> list[DeadLetter]:
        """The letters of a queue."""
        call = ListDeadLetters(queue=queue, state=state)
        return (await self.db.read(lambda reader: calls.list_letters(call, reader))).items

    async def kept(self, queue: str, state: LetterState = "DEAD", *, count: int = 1) -> list[DeadLetter]:
        """The letters of a queue, once there are so many."""

        async def look() -> list[DeadLetter]:
            await jobs.fetch(self.db, self.office)
            return await self.waiting(queue, state)

        return await eventually(look, holds=lambda found: len(found) == count)

    async def redrive(self, *ids: int) -> None:
        """Send letters back."""
        call = RedriveDeadLetters(request_id=new_id(), by=1, ids=list(ids))
        await self.db.transaction(lambda tx: calls.redrive(call, tx))
        await jobs.send_back(self.db, self.office)


@asynccontextmanager
async def at_work(db: Database, amqp_url: str, *queues: str) -> AsyncIterator[Letters]:
    """Dead letters of these queues are fetched; the jobs run when the test says so."""
    office = DeadLetterOffice("query-svc#1")
    link = Link(amqp_url, "query-svc#1 dead letters")
    link.use(office.set_up, office.tear_down)
    link.start()
    assert await link.wait_up(15)
    try:
        await office.watch(queues)
        yield Letters(db, office)
    finally:
        await link.stop()


async def queue_of(lab: Lab) -> str:
    """A queue with its queue of dead letters, and nobody who listens."""
    consumer = unique("deaf")
    await declare_event_queue(lab.channel, consumer, "order.placed")
    return f"{consumer}.order.placed"


async def test_a_letter_goes_back_to_the_failing_queue_alone(db: Database, lab: Lab) -> None:
    failing, other = await queue_of(lab), await queue_of(lab)
    body = b"\xff\x00 not JSON"
    await lab.send(
        "", body, f"{failing}.dead", message_id="m1", type="order.placed", headers={"x-attempt": 3}
    )
    async with at_work(db, lab.amqp_url, failing) as letters:
        [kept] = await letters.kept(failing)
        assert await lab.length(f"{failing}.dead") == 0
        await letters.redrive(kept.id)
        assert [one.id for one in await letters.waiting(failing, "REDRIVEN")] == [kept.id]
    back = await lab.take(failing)
    assert back is not None
    assert (back.body, back.message_id, back.type) == (body, "m1", "order.placed")
    counts = {"x-delivery-count", "x-acquired-count"}  # the broker's own
    assert {name: back.headers[name] for name in back.headers if name not in counts} == {
        "x-redrives": 1,
        "x-published-by": lab.user_id,
    }
    assert back.user_id == lab.user_id
    assert back.delivery_mode == 2
    assert await lab.take(failing) is None
    assert await lab.take(other) is None


async def test_one_that_fails_again_tells_how_often_it_did(db: Database, lab: Lab) -> None:
    queue = await queue_of(lab)
    await lab.send("", b"[]", f"{queue}.dead", message_id="m1")
    async with at_work(db, lab.amqp_url, queue) as letters:
        for failed in range(3):
            [kept] = await letters.kept(queue)
            assert kept.failed_redrives == failed
            await letters.redrive(kept.id)
            back = await eventually(lambda: lab.take(queue))
            assert back is not None
            await lab.send(
                "", back.body, f"{queue}.dead", message_id=back.message_id, headers=dict(back.headers)
            )
        assert len(await letters.kept(queue, "REDRIVEN", count=3)) == 3


async def test_what_was_kept_but_not_acknowledged_is_kept_once(db: Database, lab: Lab) -> None:
    queue = await queue_of(lab)
    for number in range(5):
        await lab.send("", b"[%d]" % number, f"{queue}.dead", message_id=f"m{number}")
    async with at_work(db, lab.amqp_url, queue) as letters:
        arrived = await eventually(lambda: _peek(letters.office), holds=lambda found: len(found) == 5)
        found = [letter_of(one.message, one.queue) for one in arrived]
        await db.transaction(lambda tx: store.keep(tx, found))  # and then it dies
    async with at_work(db, lab.amqp_url, queue) as letters:
        await eventually(lambda: _peek(letters.office), holds=lambda again: len(again) == 5)
        await jobs.fetch(db, letters.office)
        assert len(await letters.waiting(queue)) == 5
    assert await lab.length(f"{queue}.dead") == 0


async def test_a_database_that_is_away_loses_no_letter(db: Database, lab: Lab) -> None:
    queue = await queue_of(lab)
    await lab.send("", b"[1]", f"{queue}.dead")
    async with at_work(db, lab.amqp_url, queue) as letters:
        await eventually(lambda: _peek(letters.office))
        gone = Database("mysql://nobody:x@127.0.0.1:1/none", pool=2)
        with pytest.raises(DatabaseUnavailable):
            await jobs.fetch(gone, letters.office)
        assert len(await letters.kept(queue)) == 1


async def test_one_that_cannot_be_kept_holds_up_no_other(
    db: Database, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await queue_of(lab)
    for body in (b"[1]", b"[2]", b"[3]"):
        await lab.send("", body, f"{queue}.dead")
    keep = store.keep

    async def picky(tx: Any, found: Any) -> None:
        if any(one.body == "[2]" for one in found):
            raise ValueError("this one never")
        await keep(tx, found)

    monkeypatch.setattr(store, "keep", picky)
    async with at_work(db, lab.amqp_url, queue) as letters:
        await letters.kept(queue, count=2)
    left = await eventually(lambda: lab.take(f"{queue}.dead"))
    assert left is not None
    assert left.body == b"[2]"


async def test_one_that_could_not_be_kept_is_tried_again_within_the_minute(
    db: Database, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await queue_of(lab)
    await lab.send("", b"[1]", f"{queue}.dead")
    keep, broken = store.keep, True

    async def broken_at_first(tx: Any, found: Any) -> None:
        if broken:
            raise ValueError("a defect")
        await keep(tx, found)

    monkeypatch.setattr(store, "keep", broken_at_first)
    monkeypatch.setattr(office_module, "TRY_AGAIN_S", 0.05)
    async with at_work(db, lab.amqp_url, queue) as letters:
        with capture_logs() as logs:

            async def tried() -> int:
                await jobs.fetch(db, letters.office)
                return sum(one["event"] == "dead_letter.not_kept" for one in logs)

            await eventually(tried, holds=lambda times: times > 1)
        broken = False
        await letters.kept(queue)
    assert await lab.length(f"{queue}.dead") == 0


async def test_of_one_that_is_too_large_the_head_is_kept_and_it_is_not_sent_back(
    db: Database, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_module, "LARGEST_BODY", 100)
    monkeypatch.setattr(letter_module, "HEAD", 10)
    queue = await queue_of(lab)
    await lab.send("", b"0123456789" * 20, f"{queue}.dead", headers={"x-exception": "ValueError"})
    async with at_work(db, lab.amqp_url, queue) as letters:
        [kept] = await letters.kept(queue)
        assert kept.message.startswith("Only the first 10 of its 200 octets are kept")
        details = (await db.read(lambda reader: store.details(reader, [kept.id])))[kept.id]
        assert (details.body, details.headers["x-cut-from"]) == ("0123456789", 200)
        await letters.redrive(kept.id)
        [back] = await letters.kept(queue)
        assert "only the head" in str(back.problem)
    assert await lab.length(f"{queue}.dead") == 0


@pytest.mark.parametrize("properties", [strange.MICROSECONDS, strange.NAME_NO_TEXT, strange.ID_NO_TEXT])
async def test_one_whose_properties_nobody_can_read_is_kept_with_their_octets_and_goes_back_without(
    db: Database, lab: Lab, properties: bytes
) -> None:
    queue = await queue_of(lab)
    await strange.publish(lab.amqp_url, "", f"{queue}.dead", b"[1]", properties)
    async with at_work(db, lab.amqp_url, queue) as letters:
        [kept] = await letters.kept(queue)
        assert (kept.exception, "properties cannot be read" in kept.message) == ("Unreadable", True)
        details = (await db.read(lambda reader: store.details(reader, [kept.id])))[kept.id]
        assert details.headers["x-unreadable-octets"] == strange.octets_of(properties)
        await letters.redrive(kept.id)
        back = await eventually(lambda: lab.take(queue))
    assert back is not None
    assert (back.body, back.headers["x-redrives"]) == (b"[1]", 1)
    assert not {"x-unreadable", "x-unreadable-octets"} & back.headers.keys()


async def test_a_queue_that_is_gone_gives_the_letter_back_to_the_person(db: Database, lab: Lab) -> None:
    queue = await queue_of(lab)
    await lab.send("", b"[]", f"{queue}.dead")
    async with at_work(db, lab.amqp_url, queue, unique("never.was")) as letters:
        [kept] = await letters.kept(queue)
        await (await lab.channel.get_queue(queue)).delete(if_unused=False, if_empty=False)
        await letters.redrive(kept.id)
        [back] = await letters.waiting(queue)
    assert (back.id, back.state) == (kept.id, "DEAD")
    assert "does not exist" in str(back.problem)


async def test_what_is_sent_while_the_broker_is_away_goes_once_it_is_back(db: Database, lab: Lab) -> None:
    queue = await queue_of(lab)
    await lab.send("", b"[]", f"{queue}.dead")
    async with at_work(db, lab.amqp_url, queue) as letters:
        [kept] = await letters.kept(queue)
    await letters.redrive(kept.id)  # its link is down by now
    assert [one.id for one in await letters.waiting(queue, "REDRIVING")] == [kept.id]
    async with at_work(db, lab.amqp_url) as again:
        await jobs.send_back(again.db, again.office)
    assert await eventually(lambda: lab.take(queue)) is not None


async def test_queues_are_learned_from_descriptions_and_watched_while_their_service_is_down(
    db: Database, lab: Lab, url: str
) -> None:
    name, publisher = unique("tiny"), unique("pub")
    queue = f"{name}.{publisher}.marked"
    process = await lab.process(name, url, hears=publisher, retry_delays_s="0.2")
    peers = f"{name}=http://127.0.0.1:{process.port} nobody=http://127.0.0.1:1"
    rpc = Rpc("query-svc#1", peers=peers, signer=SIGNER)
    try:
        async with at_work(db, lab.amqp_url) as letters:
            await jobs.learn_queues(rpc, db, letters.office)
        await process.kill()
        await lab.send("", b"[" + event(f"{publisher}.marked", {"key": "a"}) + b"]", f"{queue}.dead")
        async with at_work(db, lab.amqp_url) as letters:
            await jobs.learn_queues(rpc, db, letters.office)
            [kept] = await letters.kept(queue)
            assert (kept.service, kept.handler) == (name, "tests.shared.tiny.service.tiny.<locals>.note")
            await letters.redrive(kept.id)
        await process.start()
        await eventually(lambda: lab.marks(url), holds=lambda marks: marks == ["a"])
    finally:
        await rpc.close()


async def _peek(office: DeadLetterOffice) -> list[Arrived]:
    found = office.take(100)
    office.put_back(found)
    return found
