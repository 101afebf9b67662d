"""No key to a card is kept or shown by the read side, though old events and dead letters bore one."""

import base64
import logging
from typing import Any

import msgspec
import pytest

from order_svc.contracts import OrderPlaced
from query_svc import calls, contracts
from query_svc.dead_letters import store as letters
from query_svc.dead_letters.letter import letter_of, message_of
from shared.database.units import Database
from shared.events.cloudevents import Undecoded
from tests.dead_letters.letters import QUEUE, message
from tests.query_svc.facts_told import Story, hear, line, strange
from tests.query_svc.test_store_and_views import ask
from tests.support.databases import whole
from tests.support.upgrade import repeat_migrations

MIGRATION = "0006_no_payment_keys"
KEY = 'pay_4242"secret\\of#a/buyer'
WRITTEN = msgspec.json.encode(KEY).decode()


def an_old_event(story: Story) -> Undecoded:
    """An order as it was told while events bore keys."""
    [placed] = story.placed().events
    data: dict[str, Any] = msgspec.json.decode(bytes(placed.data))
    assert "payment_id" in OrderPlaced.__struct_fields__
    del data["payment_id"]
    return strange(
        "order.placed", {**data, "payment_key": KEY}, subject=placed.subject, correlationid=placed.subject
    )


async def test_an_old_event_that_comes_now_is_kept_without_its_key(
    db: Database, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    story = Story(line(1, 2))
    event = an_old_event(story)
    await hear(db, [event, event])
    assert KEY not in await whole(db)
    assert WRITTEN not in await whole(db)
    facts = await ask(db, calls.order_facts, contracts.GetOrderFacts(order_id=story.order_id))
    assert (facts.order.total, len(facts.lines)) == (200, 1)
    found = await ask(db, calls.get_event, contracts.GetEvent(message_id=event.id))
    assert found.data["payment_key"] is None
    assert "secret" not in caplog.text + "".join(capfd.readouterr())


async def test_a_dead_letter_is_kept_and_sent_back_without_its_key(db: Database) -> None:
    event = an_old_event(Story())
    body = b'[{"id":"1","type":"order.placed","data":' + bytes(event.data) + b"}]"
    for twice in (message(body), message(body + b"\xff")):
        first, again = letter_of(twice, QUEUE), letter_of(twice, QUEUE)
        assert first.identity == again.identity
        await db.transaction(lambda tx, one=first: letters.keep(tx, [one]))
        headers, properties = msgspec.json.decode(first.headers), msgspec.json.decode(first.properties)
        sent = message_of(first.encoding, first.body, headers, properties, 1).body
        assert b"secret" not in sent
        assert sent.startswith(body[:30])
    rows = await db.read(lambda reader: reader.rows("SELECT encoding, body FROM dead_letters"))
    assert len(rows) == 2
    for encoding, kept in rows:
        assert b"secret" not in (base64.b64decode(kept) if encoding == "base64" else kept.encode())


async def test_what_was_kept_with_a_key_is_cleaned_and_nothing_else_is_changed(db: Database) -> None:
    stories = [Story(line(1, 2)) for _ in range(3)]
    await hear(db, [an_old_event(story) for story in stories])
    await hear(db, [strange("mail.letter_sent", {"text": f'the word "payment_key":{WRITTEN} in a text'})])
    await db.transaction(lambda tx: letters.keep(tx, [letter_of(message(), QUEUE)]))
    clean = await whole(db)
    await db.execute(
        "UPDATE saga_event_log SET event_data = REPLACE(event_data, %s, %s)"
        " WHERE event_type = 'order.placed'",
        ['"payment_key":null', f'"payment_key":{WRITTEN}'],
    )
    await db.execute(
        "UPDATE dead_letters SET body = CONCAT(body, %s)", [f'[{{"data":{{"payment_key":{WRITTEN}}}}}]']
    )
    assert (await whole(db)).count("secret") == 3 + 1 + 1
    for _ in range(2):
        await repeat_migrations(db, "query_svc", [MIGRATION])
        cleaned = (await whole(db)).replace('[{"data":{"payment_key":null}}]', "")
        assert cleaned == clean
    page = await ask(db, calls.list_events, contracts.ListEvents(limit=100))
    assert [one.data["payment_key"] for one in page.items if one.event_type == "order.placed"] == [None] * 3
