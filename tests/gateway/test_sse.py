"""Event streams: what they send, what wakes them, and when they end."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from typing import Any, cast

import pytest

from gateway.door import ended
from gateway.door.guards import Door
from gateway.door.sse import News, event_stream, follow
from gateway.door.streams import Feeds, Streams, open_streams
from gateway.door.waiting import Watches
from gateway.settings import GatewaySettings
from shared.errors import NotFound, Overloaded, TooMany, Unavailable
from tests.gateway.fakes import FakeRpc, Signer
from user_svc.contracts import GetKeys


class _Process:
    """As much of a request as a stream looks at."""

    def __init__(self) -> None:
        self.closing = asyncio.Event()
        self.app = self
        self.scope: dict[str, Any] = {}
        self.state = {"runtime": self, "settings": GatewaySettings()}


class Journal:
    """News that are kept somewhere; reading them may fail."""

    def __init__(self) -> None:
        self.kept: list[News] = []
        self.reads: list[str | None] = []
        self.away = False

    def add(self, number: int) -> None:
        self.kept.append(News(str(number), "counted", {"number": number}))

    async def read(self, after: str | None) -> Sequence[News]:
        self.reads.append(after)
        if self.away:
            raise Unavailable("away")
        return [news for news in self.kept if int(news.id) > int(after or 0)][:2]


def _frames(
    process: _Process, news: AsyncGenerator[News, None], **options: Any
) -> AsyncGenerator[bytes, None]:
    return cast(Any, event_stream(cast(Any, process), news, whose="2", **options).iterator)


async def _next(frames: AsyncGenerator[bytes, None]) -> str:
    async with asyncio.timeout(5):
        return (await anext(frames)).decode()


async def test_news_are_sent_with_their_ids_and_go_on_after_the_last_seen() -> None:
    journal, watches = Journal(), Watches[int, None]()
    for number in range(1, 6):
        journal.add(number)
    frames = _frames(_Process(), follow(journal.read, watches.watch(7), "2"))
    assert await _next(frames) == "retry: 1000\n\n"
    assert await _next(frames) == 'id: 3\nevent: counted\ndata: {"number":3}\n\n'
    assert [(await _next(frames)).split("\n")[0] for _ in range(2)] == ["id: 4", "id: 5"]
    await frames.aclose()


async def test_a_stream_is_woken_by_its_own_news() -> None:
    journal, watches = Journal(), Watches[int, None]()
    frames = _frames(_Process(), follow(journal.read, watches.watch(7), None, look_again_s=60))
    await _next(frames)
    waiting = asyncio.ensure_future(_next(frames))
    await asyncio.sleep(0.01)
    assert journal.reads == [None]
    watches.tell(8)
    journal.add(1)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    watches.tell(7)
    assert (await waiting).startswith("id: 1\n")
    await frames.aclose()
    assert watches._waiting == {}


async def test_news_that_nobody_tells_of_are_found_all_the_same() -> None:
    journal, watches = Journal(), Watches[int, None]()
    journal.away = True
    frames = _frames(_Process(), follow(journal.read, watches.watch(7), None, look_again_s=0.01))
    await _next(frames)
    waiting = asyncio.ensure_future(_next(frames))
    await asyncio.sleep(0.05)
    journal.add(1)
    journal.away = False
    assert (await waiting).startswith("id: 1\n")
    await frames.aclose()


async def test_a_silent_stream_says_now_and_then_that_it_lives() -> None:
    frames = _frames(
        _Process(),
        follow(Journal().read, Watches[int, None]().watch(7), None),
        heartbeat_s=0.01,
        longest_s=60,
    )
    await _next(frames)
    assert [await _next(frames) for _ in range(3)] == [": still here\n\n"] * 3
    await frames.aclose()


async def test_a_stream_ends_when_its_process_shuts_down_and_when_it_is_old() -> None:
    watches, process = Watches[int, None](), _Process()
    frames = _frames(process, follow(Journal().read, watches.watch(7), None))
    await _next(frames)
    rest = asyncio.ensure_future(_all(frames))
    await asyncio.sleep(0.01)
    process.closing.set()
    assert await rest == []
    old = _frames(_Process(), follow(Journal().read, watches.watch(7), None), longest_s=0.02)
    assert [frame for frame in await _all(old) if not frame.startswith(b":")] == [b"retry: 1000\n\n"]
    assert watches._waiting == {}


def test_streams_are_bounded_for_a_user_and_for_all() -> None:
    streams = Streams()
    with ExitStack() as stack:
        for whose in ("2", "2", "3"):
            streams.refuse_too_many(whose, 2, 3)
            stack.enter_context(streams.one_more(whose))
        with pytest.raises(TooMany):
            streams.refuse_too_many("2", 2, 4)
        with pytest.raises(Overloaded):
            streams.refuse_too_many("4", 2, 3)
    streams.refuse_too_many("2", 1, 1)


async def test_a_stream_ends_with_the_token_that_let_it_in(rpc: FakeRpc, signer: Signer) -> None:
    process, journal, wakes = _Process(), Journal(), Watches[int, None]()
    rpc.answers[GetKeys] = lambda _: signer.keys()
    door = Door(cast(Any, rpc), GatewaySettings())
    process.state["door"] = door
    process.scope["user"] = await door.tokens.user(f"Bearer {signer.token(2)}")
    frames = _frames(process, follow(journal.read, wakes.watch(7), None))
    await _next(frames)
    ended.tokens_ended(ended.TokensEnded(user_id=2, session_id=None, below=1))
    journal.add(1)
    wakes.tell(7)
    assert [frame async for frame in frames] == [], "nothing is sent any more"


async def test_a_stream_counts_until_it_has_ended() -> None:
    frames = _frames(_Process(), follow(Journal().read, Watches[int, None]().watch(7), None))
    await _next(frames)
    with pytest.raises(TooMany):
        open_streams.refuse_too_many("2", 1, 100)
    await frames.aclose()
    open_streams.refuse_too_many("2", 1, 100)


async def test_what_many_follow_is_read_once() -> None:
    feeds, watches = Feeds[int, int](), Watches[int, None]()
    now, reads = 1, 0

    async def read() -> int:
        nonlocal reads
        reads += 1
        return now

    async def wait_for(wanted: int) -> None:
        seen = 0
        with feeds.follow(7, 1, read, watches.watch(7), look_again_s=60) as feed:
            while seen != wanted:
                seen = await feed.changed_from(seen)

    async with asyncio.timeout(5):
        async with asyncio.TaskGroup() as group:
            for _ in range(400):
                group.create_task(wait_for(2))
            await asyncio.sleep(0.02)
            assert reads == 1
            now = 2
            watches.tell(7)
    assert reads == 2
    await asyncio.sleep(0)
    assert watches._waiting == {}


async def test_what_ends_the_reading_ends_all_who_follow() -> None:
    feeds, watches = Feeds[int, int](), Watches[int, None]()

    async def read() -> int:
        raise NotFound("gone")

    with feeds.follow(7, 1, read, watches.watch(7), 60) as feed, pytest.raises(NotFound):
        async with asyncio.timeout(5):
            await feed.changed_from(1)


async def _all(frames: AsyncGenerator[bytes, None]) -> list[bytes]:
    async with asyncio.timeout(5):
        return [frame async for frame in frames]
