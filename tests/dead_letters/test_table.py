"""Dead letters in the table: found, sent back and given up, once, and every action with a trace."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from query_svc.dead_letters import calls, store
from query_svc.dead_letters.contracts import (
    Acted,
    CountDeadLetters,
    DeadLetterDetails,
    DiscardDeadLetters,
    GetDeadLetter,
    ListAudit,
    ListDeadLetterGroups,
    ListDeadLetters,
    RecordAction,
    RedriveDeadLetters,
)
from query_svc.dead_letters.letter import group_key
from shared.database.units import Database
from shared.errors import NotFound, RuleBroken
from shared.ids import new_id
from tests.dead_letters.letters import QUEUE, kept, letter
from tests.support.plans import plans_of

ADMIN = 1


async def _groups(db: Database, **wanted: Any) -> Any:
    return await db.read(lambda reader: calls.list_groups(ListDeadLetterGroups(**wanted), reader))


async def _page(db: Database, **wanted: Any) -> Any:
    return await db.read(lambda reader: calls.list_letters(ListDeadLetters(**wanted), reader))


async def _one(db: Database, letter_id: int) -> DeadLetterDetails:
    return await db.read(lambda reader: calls.get_letter(GetDeadLetter(id=letter_id), reader))


async def _redrive(db: Database, **which: Any) -> Acted:
    call = RedriveDeadLetters(**({"request_id": new_id(), "by": ADMIN} | which))
    return await db.transaction(lambda tx: calls.redrive(call, tx))


async def _discard(db: Database, **which: Any) -> Acted:
    call = DiscardDeadLetters(**({"request_id": new_id(), "by": ADMIN, "reason": "a test"} | which))
    return await db.transaction(lambda tx: calls.discard(call, tx))


async def _claim(db: Database) -> list[int]:
    return [one.id for one in await db.transaction(lambda tx: store.claim(tx, 100))]


async def test_a_letter_that_comes_again_is_there_once(db: Database) -> None:
    one = letter()
    [letter_id] = await kept(db, one)
    assert await kept(db, one, one) == [letter_id, letter_id]
    assert len((await _page(db)).items) == 1


async def test_everything_about_a_letter_is_told(db: Database) -> None:
    [letter_id] = await kept(db, letter(body=b"\xff\xfe", correlation_id="o1"))
    found = await _one(db, letter_id)
    assert (found.state, found.queue, found.service, found.handler) == ("DEAD", QUEUE, "item", None)
    assert (found.encoding, found.body, found.actions) == ("base64", "//4=", [])
    assert (found.exception, found.message, found.attempts) == ("ValueError", "no such thing", 4)
    assert found.headers["x-service"] == "item-svc#1"
    assert found.properties["correlation_id"] == "o1"
    with pytest.raises(NotFound, match="no dead letter"):
        await _one(db, letter_id + 1)


async def test_groups_count_what_stands_where(db: Database) -> None:
    ids = await kept(
        db, letter(), letter(), letter(), letter(exception="KeyError"), letter("coupon.order.placed")
    )
    await _discard(db, ids=ids[:1])
    await _redrive(db, ids=ids[1:2])
    await _discard(db, ids=ids[4:])
    groups = (await _groups(db)).items
    assert [(one.queue, one.exception) for one in groups] == [(QUEUE, "KeyError"), (QUEUE, "ValueError")]
    counted = groups[1]
    assert (counted.dead, counted.redriving, counted.redriven, counted.discarded) == (1, 1, 0, 1)
    assert counted.sample.id == ids[2]
    assert counted.sample.body
    assert counted.group == group_key(QUEUE, "ValueError")
    assert len((await _groups(db, all=True)).items) == 3


async def test_lists_go_on_where_a_page_ended(db: Database) -> None:
    ids = await kept(db, *(letter(exception=f"E{number % 3}") for number in range(7)))
    found, after = [], None
    for _ in range(4):
        page = await _page(db, limit=2, after=after)
        found += [one.id for one in page.items]
        after = page.next
    assert found == sorted(ids, reverse=True)
    assert after is None
    first = await _groups(db, limit=2)
    second = await _groups(db, limit=2, after=first.next)
    assert [one.exception for one in (*first.items, *second.items)] == ["E0", "E2", "E1"]
    assert second.next is None


async def test_letters_are_found_by_group_state_queue_and_order(db: Database) -> None:
    ids = await kept(
        db, letter(correlation_id="o1"), letter(exception="KeyError"), letter("coupon.order.placed")
    )
    await _discard(db, ids=ids[1:2])
    for wanted, expected in (
        ({"correlation_id": "o1"}, [0]),
        ({"group": group_key(QUEUE, "KeyError")}, [1]),
        ({"state": "DISCARDED"}, [1]),
        ({"queue": "coupon.order.placed"}, [2]),
        ({"queue": QUEUE, "state": "DEAD"}, [0]),
    ):
        assert [one.id for one in (await _page(db, **wanted)).items] == [ids[index] for index in expected]


async def test_a_second_click_changes_nothing(db: Database) -> None:
    [letter_id] = await kept(db, letter())
    assert await _redrive(db, ids=[letter_id]) == Acted(changed=1, unchanged=0)
    assert await _redrive(db, ids=[letter_id]) == Acted(changed=0, unchanged=1)
    assert await _discard(db, ids=[letter_id]) == Acted(changed=0, unchanged=1)
    assert await _claim(db) == [letter_id]
    assert await _claim(db) == []
    await db.transaction(lambda tx: store.sent(tx, [letter_id]))
    assert await _redrive(db, ids=[letter_id]) == Acted(changed=0, unchanged=1)
    assert (await _one(db, letter_id)).state == "REDRIVEN"


async def test_clicks_at_once_are_one(db: Database) -> None:
    ids = await kept(db, *(letter() for _ in range(20)))
    acted = await asyncio.gather(*(_redrive(db, group=group_key(QUEUE, "ValueError")) for _ in range(6)))
    assert sum(one.changed for one in acted) == 20
    claimed = await asyncio.gather(*(_claim(db) for _ in range(4)))
    assert sorted(letter_id for part in claimed for letter_id in part) == ids


async def test_the_same_request_again_gets_the_same_answer(db: Database) -> None:
    ids = await kept(db, letter(), letter())
    request_id = new_id()
    assert await _redrive(db, request_id=request_id, ids=ids) == Acted(changed=2, unchanged=0)
    await kept(db, letter())
    assert await _redrive(db, request_id=request_id) == Acted(changed=2, unchanged=0)
    assert (await _groups(db)).items[0].dead == 1


async def test_one_that_cannot_be_sent_waits_for_a_person_again(db: Database) -> None:
    [letter_id] = await kept(db, letter())
    await _redrive(db, ids=[letter_id])
    await db.transaction(lambda tx: store.came_back(tx, [letter_id], "its queue is gone"))
    found = await _one(db, letter_id)
    assert (found.state, found.problem) == ("DEAD", "its queue is gone")
    assert await _redrive(db, ids=[letter_id]) == Acted(changed=1, unchanged=0)
    assert (await _one(db, letter_id)).problem is None


async def test_what_a_process_leased_and_never_sent_is_claimed_again(db: Database) -> None:
    [letter_id] = await kept(db, letter())
    await _redrive(db, ids=[letter_id])
    assert await _claim(db) == [letter_id]
    await db.execute("UPDATE dead_letters SET send_at = send_at - INTERVAL 31 SECOND")
    assert await _claim(db) == [letter_id]


async def test_every_action_leaves_a_trace(db: Database) -> None:
    ids = await kept(db, letter(), letter(), letter())
    await _redrive(db, by=7, ids=ids[:1])
    await _discard(db, by=8, ids=ids[1:], reason="made by a test")
    call = RecordAction(request_id=new_id(), by=9, action="publish outbox", target="outbox of order")
    first = await db.transaction(lambda tx: calls.record_action(call, tx))
    assert await db.transaction(lambda tx: calls.record_action(call, tx)) == first
    page = await db.read(lambda reader: calls.list_audit(ListAudit(), reader))
    assert [(one.by, one.action, one.target, one.affected, one.reason) for one in page.items] == [
        (9, "publish outbox", "outbox of order", 0, None),
        (8, "discard", f"dead letter {ids[1]}, {ids[2]}", 2, "made by a test"),
        (7, "redrive", f"dead letter {ids[0]}", 1, None),
    ]
    given_up = await _one(db, ids[1])
    assert (given_up.changed_by, given_up.reason) == (8, "made by a test")
    assert [one.action for one in given_up.actions] == ["discard"]
    [newest] = (await db.read(lambda reader: calls.list_audit(ListAudit(limit=1), reader))).items
    rest = await db.read(lambda reader: calls.list_audit(ListAudit(after=newest.id), reader))
    assert [one.by for one in rest.items] == [8, 7]


async def test_what_is_not_there_is_refused_by_name_and_nothing_is_done(db: Database) -> None:
    [letter_id] = await kept(db, letter())
    with pytest.raises(NotFound, match=f"{letter_id + 7}"):
        await _redrive(db, ids=[letter_id, letter_id + 7])
    for wrong in ({"ids": []}, {"ids": [letter_id], "group": "0" * 16}):
        with pytest.raises(RuleBroken):
            await _redrive(db, **wrong)
    with pytest.raises(RuleBroken, match="which letters"):
        await _discard(db)
    assert (await _one(db, letter_id)).state == "DEAD"
    assert (await db.read(lambda reader: calls.list_audit(ListAudit(), reader))).items == []


async def test_all_that_wait_are_counted_by_queue(db: Database) -> None:
    ids = await kept(db, letter(), letter(), letter("coupon.order.placed"))
    await _discard(db, ids=ids[:1])
    counts = await db.read(lambda reader: calls.count_letters(CountDeadLetters(), reader))
    assert {one.queue: one.dead for one in counts.queues} == {QUEUE: 1, "coupon.order.placed": 1}


async def test_queues_are_remembered_with_their_handlers(db: Database) -> None:
    queue = (QUEUE, "item", "item_svc.events.reserve_stock", "order.placed")
    for _ in range(2):
        await db.transaction(lambda tx: store.remember_queues(tx, [queue]))
    assert await db.read(store.watched_queues) == [QUEUE]
    [letter_id] = await kept(db, letter())
    assert (await _one(db, letter_id)).handler == "item_svc.events.reserve_stock"


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        ("SELECT id FROM dead_letters WHERE send_at <= %s ORDER BY send_at, id LIMIT 100", ["2026-01-31"]),
        (
            "SELECT id FROM dead_letters WHERE group_key = %s AND state = 'DEAD' ORDER BY id DESC LIMIT 50",
            ["a"],
        ),
        (
            "SELECT id FROM dead_letters WHERE correlation_id = %s ORDER BY id DESC LIMIT 50",
            [str(UUID(int=1))],
        ),
        ("SELECT id FROM dead_letters WHERE queue = %s AND state = 'DEAD' ORDER BY id DESC LIMIT 50", ["a"]),
        ("SELECT id FROM dead_letters WHERE action_id = %s", [1]),
    ],
)
async def test_what_is_looked_for_has_an_index(db: Database, sql: str, args: list[Any]) -> None:
    [plan] = await db.read(lambda reader: plans_of(reader, sql, args))
    assert plan.possible is not None, plan
