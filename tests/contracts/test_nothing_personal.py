"""Events go to whoever listens, and are kept: none has a place for what is a buyer's alone."""

from typing import Any

import pytest
from msgspec import inspect

from shared.messages import Event
from tests.contracts.house import SERVICES

PERSONAL = ("email", "address", "password", "secret", "token", "card", "payment_key", "phone")
"""No field of an event has such a word in its name."""

EVENTS = [event for service in SERVICES.values() for event in service.publishes]


def fields_of(type_: Any) -> set[str]:
    """The names of all fields, those of what stands in them included."""
    found: set[str] = set()
    if isinstance(type_, inspect.StructType):
        found = {field.encode_name for field in type_.fields}
        inner = [field.type for field in type_.fields]
    else:
        inner = [
            one
            for name in ("item_type", "key_type", "value_type", "type")
            if isinstance(one := getattr(type_, name, None), inspect.Type)
        ]
        inner += [one for one in getattr(type_, "types", ())]
    return found.union(*(fields_of(one) for one in inner))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.wire_name)
def test_no_event_has_a_place_for_what_is_a_buyers_alone(event: type[Event]) -> None:
    names = fields_of(inspect.type_info(event))
    assert event.subject_field in names
    assert [name for name in names if any(word in name for word in PERSONAL)] == []
