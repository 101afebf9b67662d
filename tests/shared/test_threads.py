"""Threads with a short line before them: bounded, fair, and nothing begun that nobody waits for any more."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from shared.deadline import Passed, Until
from shared.errors import Overloaded
from shared.threads import Threads, between_steps


class Work:
    """Notes who is worked for; the first is held until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.done: list[str] = []

    def first(self) -> None:
        """Hold the thread."""
        assert self.go.wait(10)

    def do(self, name: str) -> str:
        """Take next to no time."""
        self.done.append(name)
        return name


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    """Work whose first is let go in the end, whatever happens."""
    one = Work()
    yield one
    one.go.set()


async def _busy(threads: Threads, work: Work) -> "asyncio.Task[None]":
    holding = asyncio.create_task(threads.run(work.first))
    await asyncio.sleep(0)
    return holding


async def _ask(threads: Threads, work: Work, name: str, suspicion: int = 0) -> "asyncio.Task[str]":
    """Someone joins the line; `b2` is of address `b`."""
    task = asyncio.create_task(threads.run(work.do, name, whose=name[0], suspicion=suspicion))
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(
    ("come", "served", "refused"),
    [
        pytest.param(["a1", "a2", "a3"], ["a1", "a2", "a3"], [], id="who came first"),
        pytest.param(["a1", "a2", "b1"], ["a1", "b1", "a2"], [], id="each address in turn"),
        pytest.param(["a1", "a2", "a3", "a4"], ["a1", "a2", "a3"], ["a4"], id="the line is full"),
        pytest.param(["a1", "a2", "a3", "b1"], ["a1", "b1", "a2"], ["a3"], id="full of one address"),
        pytest.param(["a1!", "a2!", "a3"], ["a3", "a1", "a2"], [], id="who is above suspicion"),
        pytest.param(["a1!", "a2!", "a3!", "a4"], ["a4", "a1", "a2"], ["a3"], id="full of suspects"),
    ],
)
async def test_the_line_is_short_and_fair(
    work: Work, come: list[str], served: list[str], refused: list[str]
) -> None:
    threads = Threads("testing", count=1, line=3)
    await _busy(threads, work)
    asked = {name[:2]: await _ask(threads, work, name[:2], suspicion=name.count("!")) for name in come}
    work.go.set()
    ends = await asyncio.gather(*asked.values(), return_exceptions=True)
    assert work.done == served
    assert [name for name, end in zip(asked, ends, strict=True) if isinstance(end, Overloaded)] == refused


async def test_what_nobody_waits_for_any_more_is_not_begun(work: Work) -> None:
    threads = Threads("testing", count=1, line=8)
    await _busy(threads, work)
    with Until(time.monotonic() + 0.05):
        late = await _ask(threads, work, "late")
    gone = await _ask(threads, work, "gone")
    patient = await _ask(threads, work, "patient")
    gone.cancel()
    await asyncio.sleep(0.06)
    work.go.set()
    assert await patient == "patient"
    with pytest.raises(Passed):
        await late
    assert work.done == ["patient"]
    assert await threads.run(work.do, "next") == "next"


async def test_who_would_wait_too_long_is_told_at_once(work: Work) -> None:
    threads = Threads("testing", count=1, line=8)
    await threads.run(time.sleep, 0.05)
    await _busy(threads, work)
    with Until(time.monotonic() + 0.02), pytest.raises(Overloaded):
        await threads.run(work.do, "hasty")
    with Until(time.monotonic() + 5):
        patient = await _ask(threads, work, "patient")
    work.go.set()
    assert await patient == "patient"


async def test_a_caller_who_leaves_does_not_make_room_while_the_thread_still_works(work: Work) -> None:
    threads = Threads("testing", count=1, line=8)
    holding = await _busy(threads, work)
    holding.cancel()
    waiting = await _ask(threads, work, "a")
    await asyncio.sleep(0.01)
    assert not waiting.done()
    work.go.set()
    assert await waiting == "a"


async def test_nobody_takes_a_thread_along_who_leaves_at_his_turn_or_at_his_refusal(work: Work) -> None:
    threads = Threads("testing", count=1, line=1)
    holding = await _busy(threads, work)
    suspect = await _ask(threads, work, "s", suspicion=1)
    better = await _ask(threads, work, "b")  # the suspect has to go, and has not heard of it yet
    suspect.cancel()
    work.go.set()
    await holding
    better.cancel()
    await asyncio.gather(suspect, better, return_exceptions=True)
    assert [await threads.run(work.do, name) for name in ("x", "y")] == ["x", "y"]
    assert threads._free == 1


async def test_long_work_ends_when_its_caller_is_gone() -> None:
    def long() -> None:
        while True:
            between_steps()

    threads = Threads("testing", count=1, line=8)
    with Until(time.monotonic() + 0.05), pytest.raises(Passed):
        await threads.run(long)
