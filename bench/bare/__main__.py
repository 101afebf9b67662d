"""`python -m bench.bare`: the endpoints themselves."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from msgspec import Struct
from tortoise import Tortoise

from bench.bare.models import Item, Order, OrderHistory, Participant
from bench.serving import serve

PAGE = 20


class ItemView(Struct):
    """An item as the shop shows it."""

    id: int
    name: str
    size: str
    price: int
    available_quantity: int
    version: int


class ItemPage(Struct):
    """A page of items."""

    items: list[ItemView]
    next: int | None


class OrderView(Struct):
    """An order with its participants and its history."""

    order: dict[str, Any]
    participants: list[dict[str, Any]]
    history: list[dict[str, Any]]


@get("/items/{item_id:int}")
async def item(item_id: FromPath[int]) -> ItemView:
    """One item."""
    found = await Item.get_or_none(id=item_id, retired=0)
    if found is None:
        raise NotFoundException
    return _view(found)


@get("/items")
async def items() -> ItemPage:
    """The first page of items."""
    found = await Item.filter(retired=0).order_by("id").limit(PAGE)
    return ItemPage([_view(one) for one in found], found[-1].id if len(found) == PAGE else None)


@get("/orders/{order_id:str}")
async def order(order_id: FromPath[str]) -> OrderView:
    """One order."""
    found = await Order.filter(id=order_id).values()
    if not found:
        raise NotFoundException
    participants = await Participant.filter(order_id=order_id).order_by("id").values()
    history = await OrderHistory.filter(order_id=order_id).order_by("id").values()
    return OrderView(found[0], participants, history)


def _view(one: Item) -> ItemView:
    return ItemView(one.id, one.name, one.size, one.price, one.stock, one.version)


@asynccontextmanager
async def _lifespan(_: Litestar) -> AsyncIterator[None]:
    url = os.environ["BENCH_DATABASE_URL"]
    await Tortoise.init(
        config={
            "connections": {
                "items": f"{url}item_svc?minsize=4&maxsize=12",
                "orders": f"{url}order_svc?minsize=4&maxsize=12",
            },
            "apps": {
                "items": {"models": ["bench.bare.models"], "default_connection": "items"},
                "orders": {"models": ["bench.bare.models"], "default_connection": "orders"},
            },
        },
        _enable_global_fallback=True,
    )
    yield
    await Tortoise.close_connections()


if __name__ == "__main__":
    app = Litestar([item, items, order], lifespan=[_lifespan], logging_config=None, openapi_config=None)
    serve(app, int(os.environ["BENCH_PORT"]))
