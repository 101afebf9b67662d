"""The table that a service is made of refuses what cannot work, before anything runs."""

from typing import Any

import pytest

from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.messages import Call, Event
from shared.registry import Wiring, answer, every, hear
from shared.rpc import Rpc
from shared.service.runtime import Runtime
from shared.service.service import Service
from shared.service.settings import Settings
from tests.shared.tiny.contracts import contracts

SAID = contracts("some")


async def ask(call: Any) -> None: ...


async def note(heard: Any, tx: Transaction) -> None: ...


def test_a_service_says_only_what_is_its_own():
    with pytest.raises(ValueError, match="names its publisher"):
        Service("other", publishes=(SAID.marked,))
    with pytest.raises(ValueError, match="other cannot answer some"):
        Service("other", answers=(answer(SAID.ask, ask),))


def test_an_event_names_what_it_is_about():
    class Aimless(Event, name="some.aimless"):
        key: str

    with pytest.raises(ValueError, match="needs subject="):
        Service("some", publishes=(Aimless,))


def test_an_event_has_one_handler():
    with pytest.raises(ValueError, match="one queue has one handler"):
        Service("ear", hears=(hear(SAID.marked_view, note), hear(SAID.marked_view, note)))


def test_who_hears_needs_a_database():
    with pytest.raises(TypeError, match="needs a database"):
        Runtime(Service("ear", hears=(hear(SAID.marked_view, note),)), Settings())
    with pytest.raises(SystemExit, match="SHOP_DATABASE_URL is missing"):
        Runtime(Service("ear", models=("tests.shared.tiny.models",)), Settings())


def test_a_call_names_its_answer():
    class Mute(Call, name="some.mute"):
        pass

    with pytest.raises(TypeError, match="must name its answer"):
        answer(Mute, ask)


def test_handlers_are_async_and_ask_for_one_unit_at_most():
    def sync(call: Any) -> None: ...

    async def greedy(call: Any, tx: Transaction, db: Database) -> None: ...

    with pytest.raises(TypeError, match="must be an async function"):
        answer(SAID.ask, sync)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="one of Transaction, Reader and Database"):
        answer(SAID.ask, greedy)


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
