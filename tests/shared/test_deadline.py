"""What nobody waits for any more is not begun; what has begun is carried on to its end."""

import asyncio
import time
from datetime import timedelta

import pytest

from shared.database.units import Database
from shared.deadline import Passed, Until, begun, look
from tests.shared.lab import Lab
from tests.support.proxy import proxy_to

MARK = "INSERT INTO marks (`key`, text) VALUES (%s, '')"


def test_without_a_caller_there_is_no_hurry() -> None:
    begun()
    assert look() is None


def test_what_is_past_is_not_begun() -> None:
    with Until(ends := time.monotonic() + 60):
        assert look() == ends
        with Until(time.monotonic()), pytest.raises(Passed):
            look()
        assert look() == ends
    assert look() is None


async def test_what_has_begun_goes_on_also_in_tasks_of_its_own() -> None:
    with Until(time.monotonic() + 0.02):
        await asyncio.create_task(_begin())
        await asyncio.sleep(0.03)
        assert look() is None


async def _begin() -> None:
    begun()


async def test_a_unit_that_waited_too_long_for_its_connection_is_not_begun(lab: Lab, url: str) -> None:
    database = Database(url, pool=1)
    await database.open()
    done = asyncio.Event()
    try:
        holding = asyncio.create_task(database.read(lambda _: done.wait()))
        await asyncio.sleep(0)
        with Until(time.monotonic() + 0.05):
            waiting = [
                asyncio.create_task(database.transaction(lambda tx: tx.execute(MARK, ["a"]))),
                asyncio.create_task(database.execute(MARK, ["b"])),
            ]
        await asyncio.sleep(0.06)
        done.set()
        await holding
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [Passed] * 2
        assert await lab.marks(url) == []
    finally:
        await database.close()


async def test_a_unit_that_hung_is_undone_but_the_second_one_of_a_call_is_not(lab: Lab, url: str) -> None:
    database = Database(url, pool=2)
    await database.open()

    async def slow(key: str) -> None:
        async def unit(tx: object) -> None:
            await database.read(lambda reader: reader.row("SELECT SLEEP(0.1)"))
            await tx.execute(MARK, [key])  # type: ignore[attr-defined]

        await database.transaction(unit)

    try:
        with Until(time.monotonic() + 0.05), pytest.raises(Passed):
            await slow("late")
        with Until(time.monotonic() + 0.05):
            await database.transaction(lambda tx: tx.execute(MARK, ["first"]))
            await slow("second")
        assert await lab.marks(url) == ["first", "second"]
    finally:
        await database.close()


async def test_a_commit_that_was_on_its_way_too_long_comes_to_nothing(lab: Lab, url: str) -> None:
    """All of it in one journey, so that nobody could look at a clock in between."""
    async with proxy_to(url) as proxy:
        database = Database(proxy.via(url), pool=2)
        await database.open()
        try:
            proxy.stall()
            with Until(time.monotonic() + 0.1):
                late = asyncio.create_task(database.transaction(lambda tx: tx.write(MARK, ["late"])))
            await asyncio.sleep(0.2)
            await proxy.heal()
            with pytest.raises(Passed):
                await late
            with Until(time.monotonic() + 5):
                await database.transaction(lambda tx: tx.write(MARK, ["timely"]))
            assert await lab.marks(url) == ["timely"]
        finally:
            await database.close()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_servers_clock_that_was_set_keeps_nobody_from_work(lab: Lab, url: str, hours: int) -> None:
    database = Database(url, pool=1)
    await database.open()
    try:
        assert database._pool is not None
        for connection in database._pool._idle:
            clock = connection.server_clock
            connection.server_clock = clock._replace(showed=clock.showed + timedelta(hours=hours))
        for key in ("a", "b"):
            with Until(time.monotonic() + 5):
                await database.transaction(lambda tx, key=key: tx.write(MARK, [key]))
        assert await lab.marks(url) == ["a", "b"]
    finally:
        await database.close()
