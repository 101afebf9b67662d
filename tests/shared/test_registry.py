"""The table that a service is made of refuses what cannot work, before anything runs."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.errors import Problem
from shared.messages import Call, Event, View
from shared.registry import Wiring, answer, every, hear, hear_everything, tap
from shared.rpc import Rpc
from shared.service.runtime import Runtime
from shared.service.service import Service
from shared.settings import Settings
from tests.shared.tiny.contracts import module_of


class Marked(Event, name="some.marked", subject="key"):
    key: str


class MarkedSeen(View, of="some.marked"):
    key: str


class NotedSeen(View, of="some.noted"):
    key: str


class Count(Call[int], name="some.count"):
    key: str


class Find(Call[str | None], name="some.find"):
    key: str


async def count(call: Count) -> int: ...
async def find(call: Find) -> str | None: ...
async def find_all(calls: list[Find]) -> list[str | Problem | None]: ...
async def note(heard: MarkedSeen, tx: Transaction) -> None: ...
async def note_all(heard: list[MarkedSeen | NotedSeen], tx: Transaction) -> None: ...


def test_a_service_says_only_what_is_its_own():
    with pytest.raises(ValueError, match="names its publisher"):
        Service("other", contracts=(module_of(Marked),))
    with pytest.raises(ValueError, match="other cannot answer some"):
        Service("other", answers=(answer(count),))


def test_a_service_publishes_the_events_that_its_contracts_define_themselves():
    contracts = module_of(Marked, Count, MarkedSeen)
    vars(contracts)["borrowed"] = type("Borrowed", (Event,), {"__module__": "other.contracts"})
    assert Service("some", contracts=(contracts,), answers=(answer(count),)).publishes == (Marked,)


def test_a_service_answers_every_call_of_its_contracts_once():
    with pytest.raises(ValueError, match=r"some answers no some\.find, which its contracts declare"):
        Service("some", contracts=(module_of(Count, Find),), answers=(answer(count),))
    with pytest.raises(ValueError, match="answers a call twice"):
        Service("some", answers=(answer(find), answer(find_all, batch=8)))


def test_an_event_names_what_it_is_about():
    class Aimless(Event, name="some.aimless"):
        key: str

    with pytest.raises(ValueError, match="needs subject="):
        Service("some", contracts=(module_of(Aimless),))


def test_an_event_has_one_handler():
    with pytest.raises(ValueError, match="one queue has one handler"):
        Service("ear", hears=(hear(note), hear(note_all, batch=8)))


def test_who_hears_needs_a_database():
    with pytest.raises(TypeError, match="needs a database"):
        Runtime(Service("ear", hears=(hear(note),)), Settings())
    with pytest.raises(SystemExit, match="SHOP_DATABASE_URL is missing"):
        Runtime(Service("ear", models=("tests.shared.tiny.models",)), Settings())


def test_a_call_names_its_answer():
    class Mute(Call, name="some.mute"):
        pass

    async def say(call: Mute) -> None: ...

    with pytest.raises(TypeError, match="must name its answer"):
        answer(say)


def test_what_is_registered_is_what_the_annotation_says():
    assert (answer(count).call, answer(count).reply) == (Count, int)
    assert answer(find_all, batch=8).call is Find
    assert [(one.heard, one.view) for one in hear(note)] == [("some.marked", MarkedSeen)]
    assert [one.view for one in hear(note_all, batch=8)] == [MarkedSeen, NotedSeen]
    assert {one.batch for one in hear(note_all, batch=8)} == {8}


async def mute(): ...
async def untold(call) -> None: ...
async def anything(call: Any) -> None: ...
async def two_calls(call: Count | Find) -> int: ...
async def no_reply(call: Count): ...
async def wrong_reply(call: Count) -> str: ...
async def more_than_the_reply(call: Find) -> str | int | None: ...
async def wrong_replies(calls: list[Count]) -> list[str]: ...
async def one_reply_for_all(calls: list[Count]) -> int: ...
async def problem_returned(call: Count) -> int | Problem: ...
async def partly_views(heard: list[MarkedSeen | Marked]) -> None: ...
async def raw(heard: list[bytes], tx: Transaction) -> None: ...
def listen_to_a_call(call: Count) -> None: ...
def listen_in_lists(heard: list[MarkedSeen]) -> None: ...
def to_find(counted: int) -> Find: ...
def from_text(found: str) -> Find: ...


@pytest.mark.parametrize(
    ("register", "wrong"),
    [
        (lambda: answer(mute), "mute must say by annotation which message"),
        (lambda: answer(untold), "untold must say by annotation which message"),
        (lambda: answer(anything), "anything takes .*Any; to answer, it must take one Call"),
        (lambda: answer(two_calls), r"two_calls takes Count \| Find; to answer, it must take one Call"),
        (lambda: answer(note), "note takes MarkedSeen; to answer, it must take one Call"),
        (lambda: answer(find_all), "find_all takes lists, so say how long they may be: batch="),
        (lambda: answer(count, batch=8), "count takes Count; with batch=8 it must take a list of them"),
        (lambda: answer(count, batch=0), "count cannot take lists of 0"),
        (lambda: answer(no_reply), "no_reply says that it returns .*Any; its call is answered int"),
        (lambda: answer(wrong_reply), "wrong_reply says that it returns str; its call is answered int"),
        (lambda: answer(more_than_the_reply), "its call is answered str | None"),
        (lambda: answer(wrong_replies, batch=8), "its call is answered a list of int or Problem"),
        (lambda: answer(one_reply_for_all, batch=8), "its call is answered a list of int or Problem"),
        (lambda: answer(problem_returned), "its call is answered int"),
        (lambda: answer(count, again=from_text), "from_text must make a Call of int"),
        (lambda: answer(count, again=lambda counted: Find(key="")), "must make a Call of int"),
        (lambda: hear(count), "count takes Count; to hear events, it must take Views"),
        (lambda: hear(note_all), "note_all takes lists, so say how long they may be"),
        (lambda: hear(note, batch=8), "note takes MarkedSeen; with batch=8 it must take a list of them"),
        (
            lambda: hear(partly_views, batch=8),
            "partly_views takes Marked; to hear events, it must",
        ),
        (lambda: hear_everything("some", raw, batch=1), "raw takes lists"),
        (lambda: hear_everything("some", note_all, batch=8), "note_all must take lists of Undecoded"),
        (lambda: tap(listen_to_a_call), "listen_to_a_call takes Count; to hear events"),
        (lambda: tap(listen_in_lists), "listen_in_lists takes lists"),
    ],
)
def test_a_handler_in_the_wrong_place_is_refused_before_anything_runs(
    register: Callable[[], Any], wrong: str
):
    with pytest.raises(TypeError, match=wrong):
        register()


def test_what_answers_again_is_made_of_the_reply():
    assert answer(count, again=to_find).asks_again is Find


def test_handlers_are_async_and_ask_for_one_unit_at_most():
    def sync(call: Count) -> int: ...

    async def greedy(call: Count, tx: Transaction, db: Database) -> int: ...

    with pytest.raises(TypeError, match="must be an async function"):
        answer(sync)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="one of Transaction, Reader and Database"):
        answer(greedy)


def test_what_nobody_provides_is_named():
    async def wishful(call: Any, wish: dict) -> None: ...

    with pytest.raises(TypeError, match="wishful asks for wish"):
        Wiring({}).bind(wishful)


async def test_handlers_get_what_they_ask_for_by_annotation():
    got: list[Any] = []

    async def handle(call: str, rpc: Rpc, reader: Reader, settings: Settings) -> None:
        got.extend([call, rpc, reader, settings])

    async def job(settings: Settings) -> None:
        got.append(settings)

    wiring = Wiring({Rpc: "the rpc", Settings: "the settings"})
    await wiring.bind(handle)("the call", unit="the unit")
    assert got == ["the call", "the rpc", "the unit", "the settings"]
    await wiring.bind(every(1, job).handler, messages=0)()
    assert got[-1] == "the settings"
    assert wiring.wants_unit(handle)
    assert not wiring.wants_unit(job)
