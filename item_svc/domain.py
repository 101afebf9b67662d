"""The rules of catalogue and stock: pure functions, no await, no database, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from shared.errors import FieldError, RuleBroken
from shared.messages import Rejection

MAX_STOCK = 10**9
MAX_CART_LINES = 500


class Line(Struct, frozen=True, kw_only=True):
    """What an order wants of one item, and the price it was shown for it."""

    item_id: int
    quantity: int
    unit_price: int


class OnShelf(Struct, frozen=True, array_like=True):
    """An item: today's price, how many pieces are left, 0 while it is on sale, and what it is called.

    Like an array, since it is read from rows, hundreds of them for each list of orders.
    """

    id: int
    price: int
    stock: int
    retired: int
    name: str


class Movement(NamedTuple):
    """A change of one item's stock and what is left after it."""

    item_id: int
    delta: int
    balance: int


def reserve(lines: Sequence[Line], shelf: Mapping[int, OnShelf]) -> list[Movement] | Rejection:
    """What taking everything that an order wants does to the stock, or why it cannot be taken.

    Demand is summed per item: several lines of one item share its stock. An unknown item is told before a
    changed price, and that before short stock, since the earlier make the later beside the point.
    """
    for line in lines:
        if line.item_id not in shelf:
            return Rejection("item_unknown", {"item_id": line.item_id})
    for line in lines:
        price = shelf[line.item_id].price
        if line.unit_price != price:
            details = {"item_id": line.item_id, "asked": line.unit_price, "price": price}
            return Rejection("price_changed", details)
    demand: dict[int, int] = {}
    for line in lines:
        demand[line.item_id] = demand.get(line.item_id, 0) + line.quantity
    for item_id, asked in demand.items():
        left = shelf[item_id].stock
        if asked > left:
            return Rejection("out_of_stock", {"item_id": item_id, "asked": asked, "left": left})
    return [Movement(item_id, -asked, shelf[item_id].stock - asked) for item_id, asked in demand.items()]


def put_back(held: Mapping[int, int], stock: Mapping[int, int]) -> list[Movement]:
    """What giving back the pieces held of each item does to the stock."""
    return [Movement(item_id, pieces, stock[item_id] + pieces) for item_id, pieces in held.items()]


class Reservations:
    """What the orders of one list take from a shelf, each of them from what those before it have left."""

    def __init__(self, shelf: Mapping[int, OnShelf]) -> None:
        self._left = dict(shelf)
        self.taken: dict[UUID, list[Movement]] = {}

    def take(self, order_id: UUID, lines: Sequence[Line]) -> Rejection | None:
        """Take everything that an order wants, or nothing of it, and say why not."""
        outcome = reserve(lines, self._left)
        if isinstance(outcome, Rejection):
            return outcome
        for movement in outcome:
            self._left[movement.item_id] = replace(self._left[movement.item_id], stock=movement.balance)
        self.taken[order_id] = outcome
        return None


class Buying(NamedTuple):
    """An order as a cart sees it: who placed it, and which items it is for."""

    order_id: UUID
    buyer_id: int
    item_ids: frozenset[int]


class InCart(Struct, frozen=True):
    """A line of somebody's cart."""

    id: int
    user_id: int
    item_id: int
    quantity: int


def leaving(orders: Iterable[Buying], lines: Iterable[InCart]) -> dict[UUID, list[InCart]]:
    """Which lines of their buyers' carts orders take along; each line goes once, to the first that wants it.

    The line of an ordered item goes as a whole, whatever quantity was ordered, and whenever it was set: when
    the order was placed is known by another host's clock alone, which may differ from ours.
    """
    carts: dict[int, dict[int, InCart]] = {}
    for line in lines:
        carts.setdefault(line.user_id, {})[line.item_id] = line
    taken: dict[UUID, list[InCart]] = {}
    for order in orders:
        cart = carts.get(order.buyer_id, {})
        going = [cart[item_id] for item_id in sorted(order.item_ids & cart.keys())]
        for line in going:
            del cart[line.item_id]
        if going:
            taken[order.order_id] = going
    return taken


def adjusted(stock: int, delta: int) -> int:
    """The stock after an adjustment by hand. Raises `RuleBroken` where it would make no sense."""
    if delta == 0:
        raise RuleBroken("This changes nothing.", errors=[FieldError("delta", "must not be 0")])
    after = stock + delta
    if after < 0:
        raise RuleBroken(
            f"Only {stock} are left.",
            errors=[FieldError("delta", f"must be {-stock} or more, as {stock} are left")],
        )
    if after > MAX_STOCK:
        raise RuleBroken(
            f"The stock would be above {MAX_STOCK}.",
            errors=[
                FieldError("delta", f"must be {MAX_STOCK - stock} or less, as {stock} are there already")
            ],
        )
    return after


def tidy(text: str, field: str) -> str:
    """A name as the catalogue keeps it: without spaces around it. Raises `RuleBroken` if nothing is left."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise RuleBroken(
            f"The {field} has control characters.",
            errors=[FieldError(field, "must be plain text on one line")],
        )
    if tidied := text.strip():
        return tidied
    raise RuleBroken(f"The {field} is empty.", errors=[FieldError(field, "must have more than spaces")])
