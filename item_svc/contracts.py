"""What the item service publishes and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Audited, Call, Event, KeptOf

ItemNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Price = Annotated[int, Meta(ge=0, le=10**12)]
StockQuantity = Annotated[int, Meta(ge=0, le=10**9)]
CartQuantity = Annotated[int, Meta(ge=1, le=1_000_000)]
StockDelta = Annotated[int, Meta(ge=-(10**9), le=10**9)]
Reason = Annotated[str, Meta(min_length=1, max_length=200)]
StockCause = Literal["initial", "order", "release", "adjustment"]


class Item(Struct, frozen=True, kw_only=True):
    """An item as the catalogue shows it.

    `version` rises with changes to the item itself (name, size, price, stock adjusted by hand), not with the
    stock that orders move.
    """

    id: int
    name: str
    size: str
    price: int
    available_quantity: int
    version: int


class ItemPage(Struct, frozen=True, kw_only=True):
    """A page of items by rising id; `next` is the `after` of the page that follows, or null."""

    items: list[Item]
    next: int | None = None


class ItemId(Struct, frozen=True, kw_only=True):
    """The id that a new item was given."""

    id: int


class StockChange(Struct, frozen=True, kw_only=True):
    """One change of an item's stock: what caused it, what was left after it, and who did it by hand."""

    id: int
    delta: int
    balance: int
    cause: StockCause
    order_id: UUID | None
    reason: str | None
    at: datetime
    by: int | None = None


class StockHistoryPage(Struct, frozen=True, kw_only=True):
    """A page of stock changes, newest first; `next` continues after its last one."""

    items: list[StockChange]
    next: int | None = None


class CartLine(Struct, frozen=True, kw_only=True):
    """An item in a cart, as the catalogue has it now.

    `available`: it is on sale, and there are as many of it as are wanted. Off sale, none are left of it.
    """

    item_id: int
    name: str
    size: str
    quantity: int
    price: int
    available_quantity: int
    available: bool


class Cart(Struct, frozen=True, kw_only=True):
    """What a user has put aside, in the order of putting."""

    items: list[CartLine]


class ItemAudited(Audited, name="item.audited", subject="target"):
    """Somebody of the shop did something to an item or its stock."""


class ItemCreated(Event, name="item.created", subject="item_id"):
    """An item came into the catalogue. `version` is 1, and one more with each event about the item."""

    item_id: int
    name: str
    size: str
    price: int
    version: int


class ItemChanged(Event, name="item.changed", subject="item_id"):
    """An item is now as told here; what changed may also be its stock, adjusted by hand."""

    item_id: int
    name: str
    size: str
    price: int
    version: int


class ItemDeleted(Event, name="item.deleted", subject="item_id"):
    """An item is no longer on sale, and never will be again."""

    item_id: int
    version: int


class StockReserved(Event, name="item.stock_reserved", subject="order_id"):
    """The order's whole stock was taken for it; `names` are those of its items at that time, by item id."""

    order_id: UUID
    names: dict[int, str]


class StockRejected(Event, name="item.stock_rejected", subject="order_id"):
    """Nothing was taken for the order; `reason` is out_of_stock, price_changed, item_unknown or released."""

    order_id: UUID
    reason: str
    details: dict[str, Any]


class StockReleased(Event, name="item.stock_released", subject="order_id"):
    """Whatever was held for the order is back on the shelf; also said when there was nothing."""

    order_id: UUID


class CreateItem(Call[ItemId], name="item.create", idempotent=True):
    """Put an item into the catalogue. Idempotent by `request_id`.

    `Conflict` when the name and size are taken, `RuleBroken` for a name of nothing but spaces.
    """

    request_id: UUID
    name: Name
    price: Price
    size: Name = "-"
    stock_quantity: StockQuantity = 0
    by: int = 0


class GetItem(Call[Item], name="item.get", idempotent=True):
    """One item; `NotFound` when there is none, or no longer."""

    id: ItemNumber


class GetItems(Call[ItemPage], name="item.get_many", idempotent=True):
    """Those of some items that exist, by rising id."""

    ids: Annotated[list[ItemNumber], Meta(max_length=2000)]


class ListItems(Call[ItemPage], name="item.list", idempotent=True):
    """A page of the catalogue; `q` is a part of the name, in capitals or not."""

    q: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class ChangeItem(Call[Item], name="item.change", idempotent=True):
    """Change what is given of an item, if it still has `expected_version`.

    Idempotent by `request_id`. `NotFound`, `Stale` for another version, `Conflict` for a taken name and size.
    """

    request_id: UUID
    id: ItemNumber
    expected_version: int
    name: Name | None = None
    size: Name | None = None
    price: Price | None = None
    by: int = 0


class DeleteItem(Call[None], name="item.delete", idempotent=True):
    """Take an item out of the catalogue, if it still has `expected_version`; orders keep what they hold.

    Idempotent by `request_id`. `NotFound`, or `Stale` for another version.
    """

    request_id: UUID
    id: ItemNumber
    expected_version: int
    by: int = 0


class AdjustStock(Call[Item], name="item.adjust_stock", idempotent=True):
    """Add to an item's stock, or take from it, for a reason that the history keeps.

    Idempotent by `request_id`. `NotFound`; `RuleBroken` below zero, above the limit, or for a delta of 0.
    """

    request_id: UUID
    id: ItemNumber
    delta: StockDelta
    reason: Reason
    by: int = 0


class StockHistory(Call[StockHistoryPage], name="item.stock_history", idempotent=True):
    """Every change of an item's stock, newest first; `NotFound` for an item that never was."""

    id: ItemNumber
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: ItemNumber | None = None


class GetCart(Call[Cart], name="item.get_cart", idempotent=True):
    """A user's cart; one who has put nothing in has an empty one."""

    user_id: ItemNumber


class SetCartLine(Call[Cart], name="item.set_cart_line", idempotent=True):
    """Have so many of an item in the cart, whatever was there before.

    `NotFound` for an item that is not on sale; `RuleBroken` when the cart is full.
    """

    user_id: ItemNumber
    item_id: ItemNumber
    quantity: CartQuantity


class RemoveCartLine(Call[None], name="item.remove_cart_line", idempotent=True):
    """Have none of an item in the cart; also good where there was none."""

    user_id: ItemNumber
    item_id: ItemNumber


class ClearCart(Call[None], name="item.clear_cart", idempotent=True):
    """Have nothing in the cart."""

    user_id: ItemNumber


class ExportUser(Call[KeptOf], name="item.export_user", idempotent=True):
    """What this service keeps of a user, for the user."""

    user_id: int
