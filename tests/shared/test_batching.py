"""Lists that grow under load."""

import asyncio
from typing import TypeVar

from shared.batching import Batching

T = TypeVar("T")


async def test_at_rest_one_is_a_list_at_once() -> None:
    gathering: Batching[str] = Batching(16, linger_s=60)
    gathering.put("a")
    async with asyncio.timeout(1):
        assert await gathering.take() == ["a"]
        gathering.put("b")
        assert await gathering.take() == ["b"]


async def test_after_a_list_that_showed_load_the_next_waits_until_it_is_as_long() -> None:
    gathering: Batching[int] = Batching(16, linger_s=60)
    for number in range(4):
        gathering.put(number)
    assert await gathering.take() == [0, 1, 2, 3]
    taking = await _begun(gathering)
    for number in range(4):
        assert not taking.done()
        gathering.put(number)
    async with asyncio.timeout(1):
        assert await taking == [0, 1, 2, 3]


async def test_what_came_just_too_late_for_a_list_is_waited_for_the_next_time() -> None:
    gathering: Batching[str] = Batching(16, linger_s=60)
    gathering.put("first half", 4)
    assert await gathering.take() == ["first half"]
    gathering.put("second half", 4)
    assert not (taking := await _begun(gathering)).done()
    gathering.put("first half again", 4)
    async with asyncio.timeout(1):
        assert await taking == ["second half", "first half again"]


async def test_nobody_waits_for_more_than_a_full_list() -> None:
    gathering: Batching[int] = Batching(4, linger_s=60)
    for number in range(6):
        gathering.put(number)
    assert await gathering.take() == [0, 1, 2, 3]
    for number in range(6, 9):
        gathering.put(number)
    async with asyncio.timeout(1):
        assert await gathering.take() == [4, 5, 6, 7]


async def test_waiting_ends_when_nothing_more_comes() -> None:
    gathering: Batching[int] = Batching(16, linger_s=0.01)
    for number in range(8):
        gathering.put(number)
    await gathering.take()
    gathering.put(1)
    async with asyncio.timeout(1):
        assert await gathering.take() == [1]


async def test_weights_bound_a_list_and_what_is_too_heavy_goes_alone() -> None:
    gathering: Batching[str] = Batching(10, linger_s=0)
    for name, weight in (("a", 6), ("b", 4), ("c", 1), ("heavy", 50), ("d", 1)):
        gathering.put(name, weight)
    assert [await gathering.take() for _ in range(4)] == [["a", "b"], ["c"], ["heavy"], ["d"]]
    assert not gathering


async def test_what_is_cleared_is_gone() -> None:
    gathering: Batching[int] = Batching(10, linger_s=0)
    gathering.put(1)
    gathering.clear()
    assert await gathering.take() == []


async def test_the_patient_wait_for_company_at_rest_too() -> None:
    gathering: Batching[int] = Batching(3, linger_s=60, fill_first=True)
    gathering.put(1)
    taking = await _begun(gathering)
    gathering.put(2)
    await asyncio.sleep(0)
    assert not taking.done()
    gathering.put(3)
    assert await taking == [1, 2, 3]


async def _begun(gathering: Batching[T]) -> asyncio.Task[list[T]]:
    taking = asyncio.create_task(gathering.take())
    await asyncio.sleep(0)
    return taking
