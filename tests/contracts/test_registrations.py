"""Both sides of every message: who hears is told, what is read is written, what is asked is answered."""

import importlib
from collections import Counter
from typing import Any

import msgspec
import pytest

from shared.broker import topology
from shared.messages import Call, Event, View, reply_type, service_of
from shared.settings import Settings
from tests.contracts.fitting import misfits
from tests.contracts.house import MODULES, SERVICES, messages

PUBLISHED: dict[str, list[type[Event]]] = {}
for _service in SERVICES.values():
    for _event in _service.publishes:
        PUBLISHED.setdefault(_event.wire_name, []).append(_event)

HEARD: list[tuple[str, type[View]]] = [
    (name, view)
    for name, service in SERVICES.items()
    for view in (*(view for one in service.hears for view in one.views), *(one.view for one in service.taps))
]
ANSWERED = {one.call: name for name, service in SERVICES.items() for one in service.answers}


def _label(value: Any) -> str:
    return value if isinstance(value, str) else value.wire_name


def test_the_house_is_found() -> None:
    assert {"user", "item", "coupon", "order", "payment", "gateway"} <= set(SERVICES)
    assert all(name == service.name for name, service in SERVICES.items())
    assert len(HEARD) > 15


@pytest.mark.parametrize(("consumer", "view"), HEARD, ids=_label)
def test_what_is_heard_is_published_by_exactly_one_service_in_a_form_that_can_be_read(
    consumer: str, view: type[View]
) -> None:
    publishers = PUBLISHED.get(view.wire_name, [])
    assert len(publishers) == 1, f"{consumer} hears {view.wire_name}, which {len(publishers)} publish"
    assert misfits(view, publishers[0]) == []


def test_the_read_side_hears_everything_of_everybody() -> None:
    # What a service without a database tells in passing is not for keeping.
    publishers = {name for name, service in SERVICES.items() if service.publishes and service.models}
    assert {one.heard for one in SERVICES["query"].hears if one.view is None} == publishers


def test_no_event_has_two_publishers() -> None:
    assert {name: events for name, events in PUBLISHED.items() if len(events) > 1} == {}


def _own(service: str, kind: type[Any]) -> set[type[Any]]:
    """What a service's own contracts name, those of its subpackages included."""
    house = f"{MODULES[service]}."
    found = messages(MODULES[service], kind).values()
    return {
        one
        for one in found
        if f"{one.__module__}.".startswith(house) and one.__module__.endswith(".contracts")
    }


@pytest.mark.parametrize("service", list(SERVICES))
def test_a_service_publishes_and_answers_all_that_its_contracts_say(service: str) -> None:
    try:
        importlib.import_module(f"{MODULES[service]}.contracts")
    except ModuleNotFoundError:
        assert not SERVICES[service].publishes
        assert not SERVICES[service].answers
        return
    assert _own(service, Event) == set(SERVICES[service].publishes)
    assert _own(service, Call) == {one.call for one in SERVICES[service].answers}


@pytest.mark.parametrize("service", list(SERVICES))
def test_every_view_of_a_service_is_heard(service: str) -> None:
    views = {one for path, one in messages(MODULES[service], View).items()}
    assert views == {view for consumer, view in HEARD if consumer == service}


@pytest.mark.parametrize("service", list(SERVICES))
def test_every_call_that_a_service_names_is_answered_by_its_owner(service: str) -> None:
    for path, call in messages(MODULES[service], Call).items():
        assert ANSWERED.get(call) == service_of(call.wire_name), f"{service} names {path}"


@pytest.mark.parametrize("call", list(ANSWERED), ids=_label)
def test_every_call_and_its_answer_can_travel_as_json(call: type[Call[Any]]) -> None:
    msgspec.json.Decoder(call)
    msgspec.json.Decoder(reply_type(call))
    assert msgspec.json.schema(call)
    assert msgspec.json.schema(reply_type(call))


def test_calls_have_names_of_their_own() -> None:
    assert [name for name, count in Counter(call.wire_name for call in ANSWERED).items() if count > 1] == []


@pytest.mark.parametrize("events", list(PUBLISHED.values()), ids=lambda events: events[0].wire_name)
def test_an_event_about_an_order_says_which(events: list[type[Event]]) -> None:
    assert events[0].subject_field in events[0].__struct_fields__
    if "order_id" in events[0].__struct_fields__:
        assert events[0].subject_field == "order_id"


def test_no_two_queues_or_exchanges_share_a_name() -> None:
    queues: list[str] = []
    exchanges = [topology.RPC_EXCHANGE]
    for name, service in SERVICES.items():
        heard = [topology.queue_name(name, one.heard) for one in service.hears]
        queues += [*heard, *map(topology.dead_name, heard)]
        if service.answers:
            queues.append(topology.rpc_queue(name))
        if service.publishes:
            exchanges.append(topology.events_exchange(name))
        if service.hears:
            retries = [topology.retry_name(name, delay) for delay in Settings().retry_delays]
            queues += retries
            exchanges += retries
        for replica in (1, 2):
            queues += [f"{service.app_id}#{replica}.{one.view.wire_name}" for one in service.taps]
    assert [name for name, count in Counter(queues).items() if count > 1] == []
    assert [name for name, count in Counter(exchanges).items() if count > 1] == []


@pytest.mark.parametrize("service", list(SERVICES))
def test_the_jobs_of_a_service_have_names_of_their_own(service: str) -> None:
    names = [job.name for job in SERVICES[service].jobs]
    assert len(names) == len(set(names))
