"""What must hold of items: their stock follows from its history, entry by entry, and others know them."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from ops.verify.check import Book, Check, Facts
from ops.verify.runs import Run, breaks, only
from ops.verify.source import Source, folded, merged
from ops.verify.tables import (
    ITEM_PRICES,
    ITEMS,
    STOCK,
    Item,
    ItemPrice,
    StockEntry,
    StoredEvent,
    events_by_number,
)

_OF_ORDERS = {"order": -1, "release": 1}


@dataclass
class StockHistory(Run):
    """An item's history, and those of its entries that cannot be."""

    causeless: list[str] = field(default_factory=list)

    def add(self, entry: StockEntry) -> None:
        """One more entry."""
        if entry.cause in _OF_ORDERS:
            right = entry.order_id is not None and entry.delta * _OF_ORDERS[entry.cause] > 0
        else:
            right = entry.order_id is None and (entry.cause == "adjustment" or not self.entries)
            right = right and entry.cause in ("initial", "adjustment")
        if not right:
            self.causeless.append(
                f"item {entry.item_id}: stock entry {entry.id} ({entry.cause} of {entry.delta:+d}) has no"
                " cause"
            )
        super().add(entry)


@dataclass
class ItemRecords:
    """An item with all that is kept of it."""

    id: int
    facts: Facts
    item: Item | None
    history: StockHistory | None
    price: ItemPrice | None
    events: list[StoredEvent]


_STOCK = STOCK.by("item_id", "id")
READINGS = (
    ITEMS.by("id"),
    _STOCK,
    ITEM_PRICES.by("item_id"),
    events_by_number("item.created", "item.changed", "item.deleted"),
)
_KEYS = [reading.key for reading in READINGS]
_KEYS[1] = lambda run: run.key


async def _pages(
    source: Source, facts: Facts, keys: Collection[Any] | None
) -> AsyncIterator[Sequence[tuple[int, ItemRecords]]]:
    async with source.streams(READINGS, keys) as (items, stock, prices, events):
        histories = folded(stock, _STOCK.key, lambda entry: StockHistory(entry.item_id), StockHistory.add)
        async for batch in merged((items, histories, prices, events), _KEYS):
            yield [
                (key, ItemRecords(key, facts, only(rows[0]), only(rows[1]), only(rows[2]), rows[3]))
                for key, rows in batch.items()
            ]


def _adds_up(records: ItemRecords) -> Iterator[str]:
    item, history = records.item, records.history
    if item is None:
        return
    initial = history.first.delta if history and history.first.cause == "initial" else 0
    due = item.initial_stock + (history.total - initial if history else 0)
    if item.stock != due:
        yield (
            f"item {records.id}: initial {item.initial_stock} and what its history adds are {due}, but the"
            f" stock is {item.stock}"
        )
    if initial != item.initial_stock:
        yield f"item {records.id}: began with {item.initial_stock}, but its history begins with {initial}"


def _follow(records: ItemRecords) -> Iterator[str]:
    yield from breaks(records.history, f"stock of item {records.id}")


def _not_negative(records: ItemRecords) -> Iterator[str]:
    if records.item and records.item.stock < 0:
        yield f"item {records.id}: the stock is {records.item.stock}"


def _causes(records: ItemRecords) -> Iterator[str]:
    yield from records.history.causeless if records.history else ()
    if records.history and records.item is None:
        yield f"item {records.id}: is unknown, but has {records.history.entries} stock entries"


def _prices(records: ItemRecords) -> Iterator[str]:
    item, copy = records.item, records.price
    if copy is None:
        return
    retired = item is not None and item.retired != 0
    if item is None or bool(copy.deleted) != retired or (not retired and copy.price != item.price):
        price = "unknown" if item is None else "deleted" if retired else item.price
        copied = "deleted" if copy.deleted else copy.price
        yield f"item {records.id}: costs {price}, but coupon takes it for {copied}"


class _Told(Struct):
    item_id: int
    version: int
    name: str | None = None
    size: str | None = None
    price: int | None = None


_read = msgspec.json.Decoder(_Told).decode


def _events(records: ItemRecords) -> Iterator[str]:
    """No event tells of what never was, and the last ones tell how the item is now."""
    item, newest, of_creation = records.item, 0, 0
    for event in records.events:
        what = f"event {event.position}: {event.event_type} of item {records.id}"
        try:
            told = _read(event.event_data)
        except msgspec.DecodeError:
            yield f"{what} cannot be read"
            continue
        if told.item_id != records.id or item is None or told.version > item.version:
            yield f"{what}, version {told.version}: tells of what never was"
            continue
        of_creation += event.event_type == "item.created"
        newest = max(newest, told.version)
        deleted = event.event_type == "item.deleted"
        now = told.version == item.version
        if now and (deleted != bool(item.retired) or (not deleted and _other(told, item))):
            yield f"{what}, version {told.version}: is not how it is"
    since = records.facts.told_since
    if item is not None and since is not None and item.created_at >= since:
        if newest != item.version:
            yield f"item {records.id}: is at version {item.version}, but was told up to {newest}"
        if of_creation != 1:
            yield f"item {records.id}: its creation was told {of_creation} times"


def _other(told: _Told, item: Item) -> bool:
    return (told.name, told.size, told.price) != (item.name, item.size, item.price)


ITEM_BOOK = Book(
    "items",
    (
        Check("stock adds up", _adds_up),
        Check("stock entries note what is there after them", _follow),
        Check("stock is not below zero", _not_negative),
        Check("stock entries have their causes", _causes),
        Check("the coupons' copy of prices is true", _prices),
        Check("stored events of items are true", _events, follows=True),
    ),
    _pages,
)
