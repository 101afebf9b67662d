"""The item service as coupon asks it, made of a dictionary."""

from typing import Any

from item_svc.contracts import GetItem, GetItems, Item, ItemPage, ListItems
from shared.errors import NotFound, Unavailable
from shared.messages import Call


class FakeCatalogue:
    """A catalogue of one shirt, and whatever else is put into it."""

    def __init__(self, *items: Item) -> None:
        self.items = {item.id: item for item in (shown(1, 49_800), *items)}
        self.asked: list[Call[Any]] = []
        self.away = False

    async def call(self, call: Any) -> Any:
        self.asked.append(call)
        if self.away:
            raise Unavailable("item is away")
        if isinstance(call, GetItem):
            if call.id not in self.items:
                raise NotFound(f"There is no item {call.id}.")
            return self.items[call.id]
        if isinstance(call, GetItems):
            return ItemPage(items=[self.items[one] for one in call.ids if one in self.items])
        assert isinstance(call, ListItems)
        rest = [self.items[one] for one in sorted(self.items) if one > (call.after or 0)]
        return ItemPage(
            items=rest[: call.limit], next=rest[call.limit - 1].id if rest[call.limit :] else None
        )


def shown(number: int, price: int, version: int = 1) -> Item:
    return Item(id=number, name="Shirt", size=str(number), price=price, available_quantity=1, version=version)
