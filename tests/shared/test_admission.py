"""What a service takes in: limits that follow the time of calls, ranks, bounds of costly kinds, refusals."""

import asyncio
import heapq
from collections.abc import Callable

import msgspec
import pytest

from shared.errors import Overloaded
from shared.messages import Call
from shared.registry import Rank, Wiring, answer
from shared.rpc import wire
from shared.rpc.admission import LEAST, MOST, SHARES, Admission, Limit
from shared.rpc.answering import Answering


def after(limit: Limit, seconds: float, took: Callable[[int], float], in_flight: int, now: float) -> float:
    """`limit` after so many seconds of calls, a hundred a second, that took as long as `took` says."""
    for number in range(int(seconds * 100)):
        limit.ended(took(limit.value), min(in_flight, limit.value), now + number / 100)
    return now + seconds


@pytest.mark.parametrize(
    ("in_flight", "slower", "expected"),
    [
        pytest.param(4, 1.0, MOST, id="few and fast"),
        pytest.param(4, 50.0, MOST, id="few and slow: they do not stand in each other's way"),
        pytest.param(MOST, 1.0, MOST, id="many and as fast as ever"),
        pytest.param(MOST, 10.0, MOST, id="many and slower, but soon enough"),
        pytest.param(MOST, 200.0, LEAST, id="many and much slower"),
    ],
)
def test_a_limit_follows_the_time_that_calls_take(in_flight: int, slower: float, expected: int) -> None:
    limit = Limit()
    now = after(limit, 10, lambda _: 0.01, 4, 0.0)
    after(limit, 15, lambda _: 0.01 * slower, in_flight, now)
    assert limit.value == pytest.approx(expected, abs=4)


def test_what_is_usual_does_not_follow_a_load_that_does_not_end() -> None:
    limit = Limit()
    after(limit, 600, lambda under_way: under_way * 0.01, MOST, 0.0)
    assert 0.25 < limit.value * 0.01 < 1.5


def test_a_limit_is_whole_again_soon_after_the_load_has_gone() -> None:
    limit = Limit()
    now = after(limit, 10, lambda _: 0.01, 4, 0.0)
    now = after(limit, 15, lambda _: 2.0, MOST, now)
    assert limit.value < 20
    after(limit, 8, lambda _: 0.01, 2, now)
    assert limit.value > MOST / 2


class Shop:
    """A model: so many calls at once are worked on at full speed, more only slow each other down."""

    def __init__(self, admission: Admission, name: str, at_once: int, seconds: float) -> None:
        self._admission, self._name = admission, name
        self._at_once, self._seconds = at_once, seconds
        self.done: list[float] = []
        self.refused = 0

    def load(self, per_second: float, seconds: float, begins: float) -> None:
        """Calls come at a steady rate; whoever is let in takes longer the more are under way."""
        under_way: list[tuple[float, float]] = []
        for number in range(int(per_second * seconds)):
            now = begins + number / per_second
            while under_way and under_way[0][0] <= now:
                ends, took = heapq.heappop(under_way)
                self._admission.leave(self._name, took, ends)
                self.done.append(took)
            try:
                self._admission.enter(self._name)
            except Overloaded:
                self.refused += 1
                continue
            took = self._seconds * max(1.0, (len(under_way) + 1) / self._at_once)
            heapq.heappush(under_way, (now + took, took))
        for ends, took in under_way:
            self._admission.leave(self._name, took, ends)


def test_at_three_times_what_it_can_do_a_service_answers_fast_and_does_most_of_it() -> None:
    # Sixteen at once of 20 ms each are 800 a second.
    shop = Shop(Admission({"a.call": (Rank.USUAL, None)}), "a.call", at_once=16, seconds=0.02)
    shop.load(200, 5, 0.0)
    assert shop.refused == 0
    shop.load(2400, 10, 5.0)  # in which it learns
    shop.done.clear()
    shop.load(2400, 10, 15.0)
    assert len(shop.done) > 0.8 * 800 * 10
    assert sorted(shop.done)[int(len(shop.done) * 0.99)] < 0.5


@pytest.mark.parametrize("rank", list(Rank))
def test_the_higher_ranks_find_room_where_lower_ones_do_not(rank: Rank) -> None:
    admission = Admission({one.name: (one, None) for one in Rank})
    let_in = 0
    while True:
        try:
            admission.enter(rank.name)
        except Overloaded:
            break
        let_in += 1
    assert let_in == int(MOST * SHARES[rank])
    for higher in Rank:
        if higher < rank:
            admission.enter(higher.name)
        else:
            with pytest.raises(Overloaded):
                admission.enter(higher.name)


def test_what_is_costly_is_bounded_and_leaves_the_rest_alone() -> None:
    admission = Admission({"a.costly": (Rank.COSTLY, 2), "a.list": (Rank.LIST, None)})
    admission.enter("a.costly")
    admission.enter("a.costly")
    with pytest.raises(Overloaded):
        admission.enter("a.costly")
    admission.enter("a.list")
    admission.leave("a.costly", 0.1, 1.0)
    admission.enter("a.costly")


def test_those_refused_do_not_all_come_back_at_once() -> None:
    assert {Overloaded().retry_after for _ in range(100)} == {1, 2, 3}


class Hold(Call[int], name="held.hold"):
    """Answered when it is let go."""


async def test_a_call_too_many_is_refused_at_once_and_not_begun() -> None:
    begun = 0
    go = asyncio.Event()

    async def hold(call: Hold) -> int:
        nonlocal begun
        begun += 1
        await go.wait()
        return begun

    answering = Answering((answer(hold, most=2),), Wiring({}), None)

    def request(number: int) -> wire.Request:
        return wire.Request(id=str(number), call="held.hold", left_ms=30_000, data=msgspec.Raw(b"{}"))

    held = [asyncio.create_task(answering.answer(request(number))) for number in range(2)]
    await asyncio.sleep(0)
    refused = await answering.answer(request(3))
    assert refused is not None
    assert refused.problem is not None
    assert (refused.problem.status, refused.problem.type) == (503, "/problems/overloaded")
    assert refused.problem.retry_after in (1, 2, 3)
    go.set()
    assert [outcome and outcome.problem for outcome in await asyncio.gather(*held)] == [None, None]
    assert begun == 2
    again = await answering.answer(request(4))
    assert again is not None
    assert again.problem is None
