"""What item hears: orders that want stock, give it back, or came to nothing. Lists, one transaction each."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from item_svc import contracts
from item_svc.domain import Buying, Line, Movement, OnShelf, Reservations, put_back
from item_svc.store.carts import bring_back, carts_of, take_along
from item_svc.store.stock import held_by, lock_stock, locked_shelf, names_of, save_movements
from shared.database import Rows, Through, Transaction
from shared.events import Claims
from shared.messages import Rejection, View

CLAIMS = Claims("item_claims", key="order_id")


class OrderPlaced(View, of="order.placed"):
    """An order asks for stock."""

    order_id: UUID
    buyer_id: int
    lines: list[Line]
    participants: list[str]


class ReleaseStock(View, of="order.release.item"):
    """An order gives back what it holds."""

    order_id: UUID


class OrderFailed(View, of="order.failed"):
    """An order came to nothing."""

    order_id: UUID
    was_completed: bool


def rows_of_order(order: OrderPlaced) -> list[Rows]:
    """What reserving for an order locks."""
    if "item" not in order.participants:
        return []
    return [
        Rows("item_claims", "order_id", [order.order_id]),
        Rows("items", "id", [line.item_id for line in order.lines]),
    ]


def rows_of_release(release: ReleaseStock) -> list[Rows]:
    """What giving back locks: the items of an order stand in their history."""
    taken = Through("stock_history", "order_id", "item_id")
    return [
        Rows("item_claims", "order_id", [release.order_id]),
        Rows("items", "id", [release.order_id], taken),
    ]


async def reserve_stock(orders: list[OrderPlaced], tx: Transaction) -> None:
    """Take the stock of every order that can be served; tell the others why not.

    What an order is for leaves its buyer's cart together with the stock.
    """
    asked = [order for order in orders if "item" in order.participants]
    known, shelf, in_carts = await tx.ask(
        CLAIMS.of(asked),
        locked_shelf({line.item_id for order in asked for line in order.lines}),
        carts_of({order.buyer_id for order in asked}),
    )
    reservations = Reservations(shelf)
    answers = await CLAIMS.answer(
        tx, known, asked, lambda order: reservations.take(order.order_id, order.lines)
    )
    await save_movements(tx, "order", reservations.taken)
    served = [_buying(order) for order in asked if order.order_id in reservations.taken]
    await take_along(tx, served, in_carts)
    names = await _names_for(tx, shelf, answers)
    for order, rejection in answers:
        tx.emit(_reserved(order, names) if rejection is None else _rejected(order, rejection))


async def release_stock(releases: list[ReleaseStock], tx: Transaction) -> None:
    """Put back what orders hold, and acknowledge, as often as it is asked."""
    await CLAIMS.release(tx, releases, _put_back)
    for release in releases:
        tx.emit(contracts.StockReleased(order_id=release.order_id))


async def _put_back(tx: Transaction, order_ids: Sequence[UUID]) -> None:
    held = await held_by(tx, order_ids)
    stock = await lock_stock(tx, {item_id for pieces in held.values() for item_id in pieces})
    returned: dict[UUID, list[Movement]] = {}
    for order_id, pieces in held.items():
        returned[order_id] = put_back(pieces, stock)
        stock |= {movement.item_id: movement.balance for movement in returned[order_id]}
    await save_movements(tx, "release", returned)


async def return_to_carts(failures: list[OrderFailed], tx: Transaction) -> None:
    """What failed orders took out of carts comes back; what was bought and then called off does not."""
    await bring_back(tx, {failure.order_id for failure in failures if not failure.was_completed})


async def _names_for(
    tx: Transaction, shelf: Mapping[int, OnShelf], answers: Iterable[tuple[OrderPlaced, Rejection | None]]
) -> dict[int, str]:
    """What the items of served orders are called: now, also where an answer is repeated.

    To the order the first answer counts, so a name that has changed since does no harm.
    """
    names = {item_id: on.name for item_id, on in shelf.items()}
    served = {line.item_id for order, rejection in answers if rejection is None for line in order.lines}
    return names | await names_of(tx, served - names.keys())


def _buying(order: OrderPlaced) -> Buying:
    return Buying(order.order_id, order.buyer_id, frozenset(line.item_id for line in order.lines))


def _reserved(order: OrderPlaced, names: Mapping[int, str]) -> contracts.StockReserved:
    called = {line.item_id: names[line.item_id] for line in order.lines}
    return contracts.StockReserved(order_id=order.order_id, names=called)


def _rejected(order: OrderPlaced, rejection: Rejection) -> contracts.StockRejected:
    return contracts.StockRejected(
        order_id=order.order_id, reason=rejection.reason, details=rejection.details
    )
