"""The commands about the read side: export goes on where it stopped, rebuild follows until it is done."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from deploy.local.layout import layout
from ops import export as export_command
from ops import rebuild as rebuild_command
from query_svc.contracts import GetLag, Lag, ListEvents, RebuildViews, StoredEvent, StoredEvents
from tests.gateway.fakes import FakeRpc

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


def event(position: int) -> StoredEvent:
    """A stored event."""
    return StoredEvent(
        position=position,
        message_id=f"m{position}",
        saga_id="s",
        service="order",
        event_type="order.placed",
        status="PENDING",
        subject="s",
        sequence=None,
        correlation_id=None,
        causation_id=None,
        time=NOON,
        stored_at=NOON,
        data={"name": "셔츠"},
    )


def lag(folded: int) -> Lag:
    """How far it is with ten events."""
    return Lag(position=10, folded=folded, last_event_at=NOON, last_stored_at=NOON, orders=4, unsettled=0)


@pytest.fixture
def rpc(monkeypatch: pytest.MonkeyPatch) -> FakeRpc:
    """What the query service answers: at first nothing, as if it were away."""
    fake = FakeRpc()

    @asynccontextmanager
    async def asking(_who: str, _at: Any, **_: Any) -> AsyncIterator[Any]:
        yield fake

    monkeypatch.setattr(export_command, "asking", asking)
    monkeypatch.setattr(rebuild_command, "asking", asking)
    monkeypatch.setattr(rebuild_command, "LOOK_S", 0.001)
    return fake


def stored(rpc: FakeRpc, count: int, *, page: int) -> None:
    """A store of so many events, that answers in pages of at most `page`."""

    def answer(call: ListEvents) -> StoredEvents:
        positions = range(call.after + 1, min(call.after + min(call.limit, page), count) + 1)
        more = bool(positions) and positions[-1] < count
        return StoredEvents(items=[event(one) for one in positions], next=positions[-1] if more else None)

    rpc.answers[ListEvents] = answer


def positions(out: io.BytesIO) -> list[int]:
    """The positions of exported lines."""
    return [msgspec.json.decode(line)["position"] for line in out.getvalue().splitlines()]


async def test_all_events_are_exported_a_line_each(rpc: FakeRpc) -> None:
    stored(rpc, 7, page=3)
    out = io.BytesIO()
    last = await export_command.export(layout(), out, since=0, limit=None, follow=False)
    assert (last, positions(out)) == (7, [1, 2, 3, 4, 5, 6, 7])
    assert msgspec.json.decode(out.getvalue().splitlines()[0], type=StoredEvent) == event(1)


async def test_an_export_goes_on_where_it_stopped(rpc: FakeRpc) -> None:
    stored(rpc, 7, page=3)
    out = io.BytesIO()
    last = await export_command.export(layout(), out, since=0, limit=4, follow=False)
    assert (last, positions(out)) == (4, [1, 2, 3, 4])
    assert await export_command.export(layout(), out, since=last, limit=None, follow=False) == 7
    assert positions(out) == [1, 2, 3, 4, 5, 6, 7]
    assert await export_command.export(layout(), out, since=7, limit=None, follow=False) == 7


async def test_following_waits_for_what_comes(rpc: FakeRpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_command, "LOOK_S", 0.001)
    sizes = iter([2, 2, 5])
    out = io.BytesIO()

    def answer(call: ListEvents) -> StoredEvents:
        return StoredEvents(items=[event(one) for one in range(call.after + 1, next(sizes) + 1)], next=None)

    rpc.answers[ListEvents] = answer
    assert await export_command.export(layout(), out, since=0, limit=5, follow=True) == 5
    assert positions(out) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "words", [["--since", "-1"], ["--since", "x"], ["--limit", "0"], ["--since", "9" * 20], ["3"]]
)
def test_bad_arguments_are_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        export_command.main(words)
    assert caught.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_a_service_that_is_away_is_told(rpc: FakeRpc, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_command.main([]) == 1
    assert rebuild_command.main([]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("./just start query") == 2


def test_a_rebuild_is_followed_until_it_is_done(rpc: FakeRpc, capsys: pytest.CaptureFixture[str]) -> None:
    progress = iter([lag(0), lag(6), lag(10)])
    rpc.answers |= {RebuildViews: lambda _: lag(0), GetLag: lambda _: next(progress)}
    assert rebuild_command.main([]) == 0
    said = capsys.readouterr()
    assert said.out == "The views are rebuilt from 10 events: 4 orders.\n"
    assert said.err.splitlines() == ["0 of 10 events", "6 of 10 events", "10 of 10 events"]
