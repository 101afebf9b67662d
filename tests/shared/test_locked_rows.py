"""Rows that others hold: who touches them waits, without an attempt, and nobody else does."""

import asyncio
import time
from typing import Any

import pytest

from shared import metrics
from shared.database.locks import Held, Rows, Through, held_by_others, named
from shared.database.transaction import Transaction
from shared.database.units import Database, RowsLocked
from shared.events import cloudevents
from shared.registry import hear
from shared.service.service import Service
from tests.shared.lab import Lab, event, unique
from tests.shared.tiny.contracts import contracts, takes
from tests.support.held import rows_held
from tests.support.waiting import eventually

MODELS = ("tests.shared.tiny.models",)
SEEN = "UPDATE marks SET text = CONCAT(text, %s) WHERE unique_key = %s"


class Counting:
    """A service that writes into the marks that it is told of; each is a row that its handler locks."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.name, self.publisher = unique("ear"), unique("pub")
        self.kind = f"{self.publisher}.marked"
        self.done: dict[str, float] = {}
        view = contracts(self.publisher).marked_view

        @takes(list[view])
        async def handle(heard: list[Any], tx: Transaction) -> None:
            for one in sorted(heard, key=lambda one: one.key):
                await tx.execute(SEEN, [one.text, one.key])
            for one in heard:
                self.done[one.text] = time.monotonic()

        def touches(one: Any) -> list[Rows]:
            return [Rows("marks", "unique_key", [one.key])]

        self.service = Service(self.name, models=MODELS, hears=(hear(handle, batch=16, touches=touches),))

    async def tell(self, *marks: tuple[str, str]) -> None:
        """Publish that rows were marked, in one message."""
        body = cloudevents.batch(
            [event(self.kind, {"key": key, "text": text}, subject=key) for key, text in marks]
        )
        await self.lab.send(f"{self.publisher}.events", body, self.kind, delivery_mode=2, type=self.kind)


@pytest.fixture
async def rows(lab: Lab, url: str) -> str:
    """A database with the marks a to e."""
    for key in "abcde":
        await lab.sql(url, "INSERT INTO marks (`key`, text, unique_key) VALUES (%s, '', %s)", (key, key))
    return url


async def _stream(lab: Lab, rows: str, seconds: float) -> tuple[dict[str, float], Counting]:
    """Mark c is held for so many seconds under a stream of marks; how long each of them took."""
    counting = Counting(lab)
    told: dict[str, float] = {}
    lettering = 0
    async with lab.running(counting.service, database_url=rows, retry_delays_s="0.5,30"):
        async with rows_held(rows, "SELECT id FROM marks WHERE unique_key = 'c' FOR UPDATE"):
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                texts = [(key, f"{key}{lettering};") for key in "abcde"]
                told |= dict.fromkeys((text for _, text in texts), time.monotonic())
                await counting.tell(*texts)
                lettering += 1
                await asyncio.sleep(0.1)  # the pace of the stream
            held_until = time.monotonic()

        async def all_done() -> bool:
            return set(counting.done) >= set(told)

        await eventually(all_done, within_s=20)
        for text in told:
            if text.startswith("c"):
                assert counting.done[text] >= held_until
    return {text: counting.done[text] - at for text, at in told.items()}, counting


async def _harms_only_its_own(lab: Lab, rows: str, seconds: float) -> None:
    took, counting = await _stream(lab, rows, seconds)
    assert max(seconds for text, seconds in took.items() if not text.startswith("c")) < 1.5
    marked = dict(await lab.sql(rows, "SELECT unique_key, text FROM marks"))
    for key in "abcde":
        once = [text for text in took if text.startswith(key)]
        assert sorted(marked[key].split(";")[:-1]) == sorted(text[:-1] for text in once), key
    queue = f"{counting.name}.{counting.kind}"
    assert await lab.length(queue) == 0
    assert metrics.EVENTS_HANDLED.labels(counting.kind, "held_back")._value.get() > 0
    assert metrics.EVENTS_HANDLED.labels(counting.kind, "retried")._value.get() == 0


async def test_a_row_that_somebody_holds_harms_only_the_events_that_touch_it(lab: Lab, rows: str):
    await _harms_only_its_own(lab, rows, 2.0)


@pytest.mark.long
async def test_a_row_that_somebody_holds_for_long_harms_only_the_events_that_touch_it(lab: Lab, rows: str):
    await _harms_only_its_own(lab, rows, 8.0)


async def test_a_unit_that_waits_shortly_is_undone_and_not_run_again(db: Database, lab: Lab):
    await lab.sql(db.url, "INSERT INTO marks (`key`, text, unique_key) VALUES ('a', '', 'a')")
    tries = 0

    async def unit(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(SEEN, ["x", "a"])

    async def wait_of(tx: Transaction) -> tuple[Any, ...]:
        [(wait, connection)] = await tx.rows("SELECT @@innodb_lock_wait_timeout, CONNECTION_ID()")
        [(_, settings)] = await tx.rows("SHOW SESSION STATUS LIKE 'Com_set_option'")
        return wait, connection, settings

    patient = Database(db.url, pool=2, lock_wait_s=3)
    await patient.open()
    try:
        async with rows_held(db.url, "SELECT id FROM marks WHERE unique_key = 'a' FOR UPDATE"):
            began = time.monotonic()
            with pytest.raises(RowsLocked):
                await patient.transaction(unit, lock_wait_s=1)
            assert 0.9 < time.monotonic() - began < 2
        assert tries == 1
        # Each unit's wait is its own, whatever ran on its connection before; with room in the pool each kind
        # has connections of its own, and nothing need be said.
        told: set[object] = set()
        for wait_s, expected in ((None, 3), (1, 1), (1, 1), (None, 3), (1, 1)):
            wait, connection, settings = await patient.transaction(wait_of, lock_wait_s=wait_s)
            assert wait == expected
            told.add((connection, settings))
        assert len(told) == 2
        for wait_s in (1, None, 2, 1, 3, None):  # two connections for three waits
            wait, _, _ = await patient.transaction(wait_of, lock_wait_s=wait_s)
            assert wait == (wait_s or 3)
    finally:
        await patient.close()


async def test_rows_are_found_that_others_hold_and_no_others(db: Database, lab: Lab):
    for number in range(4):
        sql = "INSERT INTO marks (`key`, text, unique_key) VALUES (%s, %s, %s)"
        await lab.sql(db.url, sql, (f"group{number // 2}", f"u{(number + 1) % 4}", f"u{number}"))
    wanted = [
        [Rows("marks", "unique_key", ["u0", "nobody"])],
        [Rows("marks", "key", ["group1"]), Rows("marks", "unique_key", [])],
        [Rows("marks", "unique_key", ["u3"], Through("marks", "unique_key", "text"))],
        [],
    ]

    async def look(tx: Transaction) -> list[set[Held]]:
        touched = await named(tx, wanted)
        held = await held_by_others(tx, set[Held]().union(*touched))
        return [one & held for one in touched]

    assert await db.transaction(look) == [set(), set(), set(), set()]
    async with rows_held(db.url, "SELECT id FROM marks WHERE unique_key = 'u0' FOR UPDATE"):
        u0 = Held("marks", "unique_key", "u0")
        assert await db.transaction(look) == [{u0}, set(), {u0}, set()]
    async with rows_held(db.url, "SELECT id FROM marks WHERE unique_key = 'u3' FOR UPDATE"):
        assert await db.transaction(look) == [set(), {Held("marks", "key", "group1")}, set(), set()]
