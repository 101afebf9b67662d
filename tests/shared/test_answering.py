"""Calls that are answered in lists: grouped, apart when one fails, and never left lying."""

import asyncio

import msgspec
import pytest

from shared.database.units import CommitUnknown, DatabaseUnavailable
from shared.errors import Conflict, Problem
from shared.messages import Call
from shared.registry import Wiring, answer
from shared.rpc import wire
from shared.rpc.answering import Answering


class Double(Call[int], name="sums.double"):
    """Asks for twice `n`."""

    n: int


def _request(n: int) -> wire.Request:
    return wire.Request(
        id=str(n),
        call="sums.double",
        left_ms=30_000,
        data=msgspec.Raw(msgspec.json.encode({"n": n})),
    )


def _answering(seen: list[list[int]]) -> Answering:
    async def double(calls: list[Double]) -> list[int | Problem]:
        """Thirteen cannot be doubled, and spoils the list that it is in."""
        seen.append([call.n for call in calls])
        if any(call.n == 13 for call in calls):
            raise Conflict("thirteen")
        return [call.n * 2 for call in calls]

    return Answering((answer(double, batch=8),), Wiring({}), None)


async def test_a_call_right_after_another_has_ended_is_answered() -> None:
    """A worker that has just ended must not be taken for one that still works."""
    answering = _answering([])
    async with asyncio.timeout(5):
        for n in range(5):
            outcome = await answering.answer(_request(n))
            assert outcome is not None
            assert bytes(outcome.data) == str(2 * n).encode()


async def test_a_caller_of_before_who_does_not_say_how_long_he_waits_is_answered() -> None:
    asked = (
        b'[{"id":"1","call":"sums.double","deadline":"2020-01-31T12:00:00Z","data":{"n":4}}]'  # a time of day
    )
    [request] = wire.decode_requests(asked)
    outcome = await _answering([]).answer(request)
    assert outcome is not None
    assert bytes(outcome.data) == b"8"


async def test_calls_made_together_share_a_list() -> None:
    seen: list[list[int]] = []
    answering = _answering(seen)
    await asyncio.gather(*(answering.answer(_request(n)) for n in range(8)))
    assert seen == [list(range(8))]


async def test_a_call_that_waited_too_long_for_its_turn_is_not_begun() -> None:
    busy, free = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def double(calls: list[Double]) -> list[int | Problem]:
        """Takes its time over the first."""
        seen.extend(call.n for call in calls)
        busy.set()
        await free.wait()
        return [call.n * 2 for call in calls]

    answering = Answering((answer(double, batch=8),), Wiring({}), None)
    first = asyncio.create_task(answering.answer(_request(1)))
    await busy.wait()
    others = [
        asyncio.create_task(answering.answer(msgspec.structs.replace(_request(n), left_ms=left_ms)))
        for n, left_ms in ((2, 10), (3, 30_000), (4, 10))
    ]
    await asyncio.sleep(0.02)
    free.set()
    outcomes = await asyncio.gather(first, *others)
    assert [outcome is not None for outcome in outcomes] == [True, False, True, False]
    assert seen == [1, 3]


@pytest.mark.parametrize(
    ("error", "kind"), [(DatabaseUnavailable, "service-unavailable"), (CommitUnknown, "outcome-unknown")]
)
async def test_a_list_whose_database_is_away_fails_whole_and_at_once(
    error: type[Exception], kind: str
) -> None:
    lists: list[int] = []

    async def double(calls: list[Double]) -> list[int | Problem]:
        """There is no database."""
        lists.append(len(calls))
        raise error("away")

    answering = Answering((answer(double, batch=8),), Wiring({}), None)
    outcomes = await asyncio.gather(*(answering.answer(_request(n)) for n in range(8)))
    problems = {outcome.problem.type for outcome in outcomes if outcome and outcome.problem}
    assert problems == {f"/problems/{kind}"}
    assert lists == [8]


async def test_one_bad_call_fails_alone() -> None:
    seen: list[list[int]] = []
    answering = _answering(seen)
    outcomes = await asyncio.gather(*(answering.answer(_request(n)) for n in (1, 13, 2)))
    problems = [outcome.problem for outcome in outcomes if outcome is not None]
    assert [problem and problem.status for problem in problems] == [None, 409, None]
    assert seen == [[1, 13, 2], [1], [13], [2]]


async def test_a_lone_call_that_fails_is_not_run_again() -> None:
    seen: list[list[int]] = []
    outcome = await _answering(seen).answer(_request(13))
    assert outcome is not None
    assert outcome.problem is not None
    assert seen == [[13]]
