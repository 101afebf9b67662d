"""The checker of contracts itself, on small fakes: what it must accept and what it must find."""

from datetime import datetime
from enum import StrEnum
from types import new_class
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Struct

from shared.messages import Event, View
from tests.contracts.fitting import misfits


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Line(Struct, frozen=True, kw_only=True):
    item_id: int
    price: float
    tags: list[str]


class Placed(Event, name="fake.placed", subject="id"):
    id: UUID
    at: datetime
    amount: int
    lines: list[Line]
    note: str | None
    method: Literal["points", "card"] | None
    colour: Colour
    details: dict[str, int]
    small: Annotated[int, Meta(ge=1, le=10)]


class PlacedAndMore(Event, name="fake.placed", subject="id"):
    id: UUID
    amount: int
    added: str


class Terse(Event, name="fake.terse", subject="id", omit_defaults=True):
    id: UUID
    note: str | None = None


class Renamed(Event, name="fake.renamed", subject="id", rename="camel"):
    id: UUID
    order_id: UUID


def _view(**fields: Any) -> type[View]:
    annotations = {name: kind if not isinstance(kind, tuple) else kind[0] for name, kind in fields.items()}
    defaults = {name: kind[1] for name, kind in fields.items() if isinstance(kind, tuple)}
    body = {"__annotations__": annotations, **defaults}
    return new_class("Seen", (View,), {"of": "fake.placed"}, lambda namespace: namespace.update(body))


class SeenLine(Struct, frozen=True, kw_only=True):
    item_id: int


class LineWithMore(Struct, frozen=True, kw_only=True):
    item_id: int
    weight: int


class LineRetyped(Struct, frozen=True, kw_only=True):
    tags: list[int]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"id": UUID, "amount": int},
        {"id": str, "at": str},
        {"amount": float},
        {"amount": int | None},
        {"lines": list[SeenLine]},
        {"lines": tuple[SeenLine, ...]},
        {"lines": list[Any]},
        {"note": str | None},
        {"method": str | None},
        {"method": Literal["points", "card", "gold"] | None},
        {"colour": Colour},
        {"colour": str},
        {"details": dict[str, Any]},
        {"details": dict[str, int]},
        {"small": Annotated[int, Meta(ge=0, le=10)]},
        {"amount": (int, 3)},
        {"note": msgspec.Raw},
    ],
    ids=str,
)
def test_what_can_be_read_fits(fields: dict[str, Any]) -> None:
    assert misfits(_view(**fields), Placed) == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"total": int}, "total: is read, but not written"),
        ({"total": (int, 0)}, "total: is read, but not written"),
        ({"lines": list[LineWithMore]}, "lines[].weight: is read, but not written"),
        ({"lines": list[LineRetyped]}, "lines[].tags[]: int is read, but str is written"),
        ({"lines": LineWithMore}, "lines: struct is read, but list is written"),
        ({"amount": str}, "amount: str is read, but int is written"),
        ({"amount": bool}, "amount: bool is read, but int is written"),
        ({"id": int}, "id: int is read, but uuid is written"),
        ({"at": UUID}, "at: uuid is read, but datetime is written"),
        ({"note": str}, "note: str is read, but none is written"),
        ({"note": UUID | None}, "note: uuid or none is read, but str is written"),
        ({"method": Literal["points"] | None}, "method: 'card' is written, but not known to the reader"),
        ({"colour": Literal["red"]}, "colour: 'blue' is written, but not known to the reader"),
        ({"details": dict[str, str]}, "details{}: str is read, but int is written"),
        ({"details": SeenLine}, "details: struct is read, but dict is written"),
        (
            {"small": Annotated[int, Meta(ge=2)]},
            "small: the reader wants ge=2, the writer promises 1",
        ),
        (
            {"amount": Annotated[int, Meta(ge=0)]},
            "amount: the reader wants ge=0, the writer promises None",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_named(fields: dict[str, Any], complaint: str) -> None:
    found = misfits(_view(**fields), Placed)
    assert len(found) == 1
    assert complaint in found[0]


def test_a_publisher_may_add_but_not_take_away() -> None:
    view = _view(id=UUID, amount=int)
    assert misfits(view, PlacedAndMore) == []
    assert misfits(_view(id=UUID, note=str | None), PlacedAndMore) == ["note: is read, but not written"]


def test_a_field_that_may_be_left_out_needs_a_default_on_the_other_side() -> None:
    assert len(misfits(_view(note=str | None), Terse)) == 1
    assert misfits(_view(note=(str | None, None)), Terse) == []


def test_names_on_the_wire_count() -> None:
    assert misfits(_view(order_id=UUID), Renamed) == ["order_id: is read, but not written"]
    assert misfits(_view(orderId=UUID), Renamed) == []
