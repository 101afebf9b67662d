"""What item hears: orders that want stock, give it back, or came to nothing. Lists, one transaction each."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from item_svc import contracts
from item_svc.cart import bring_back, carts_of, take_along
from item_svc.domain import Buying, Line, Movement, Rejection, move, put_back, reserve
from item_svc.shelf import held_by, lock_stock, locked_shelf, names_of, save_movements
from shared.database.transaction import Transaction
from shared.events.claims import Claim, Claims
from shared.messages import Event, View

CLAIMS = Claims("item_claims", key="order_id")


class OrderPlaced(View, of="order.placed"):
    """An order asks for stock."""

    order_id: UUID
    buyer_id: int
    lines: list[Line]
    participants: list[str]
    placed_at: datetime


class ReleaseStock(View, of="order.release.item"):
    """An order gives back what it holds."""

    order_id: UUID


class OrderFailed(View, of="order.failed"):
    """An order came to nothing."""

    order_id: UUID
    was_completed: bool


async def reserve_stock(orders: list[OrderPlaced], tx: Transaction) -> None:
    """Take the stock of every order that can be served; tell the others why not.

    What an order is for leaves its buyer's cart together with the stock.

    An order that was answered before gets the same answer again, and one that was released gets a no.
    """
    asked = [order for order in orders if "item" in order.participants]
    claims, shelf, in_carts = await tx.ask(
        CLAIMS.locked({order.order_id for order in asked}),
        locked_shelf({line.item_id for order in asked for line in order.lines}),
        carts_of({order.buyer_id for order in asked}),
    )
    unseen = {order.order_id: order for order in asked if order.order_id not in claims}
    taken: dict[UUID, list[Movement]] = {}
    made: dict[UUID, Claim] = {}
    for order_id, order in unseen.items():
        outcome = reserve(order.lines, shelf)
        if isinstance(outcome, Rejection):
            made[order_id] = Claim("REJECTED", outcome.reason, outcome.details)
        else:
            made[order_id] = Claim("HELD")
            taken[order_id] = outcome
            move(shelf, outcome)
    await save_movements(tx, "order", taken)
    await CLAIMS.add(tx, made)
    await take_along(tx, [_buying(unseen[order_id]) for order_id in taken], in_carts)
    # An answer that is repeated names the items as they are called now; to the order the first one counts.
    repeated = [order for order in asked if order.order_id in claims]
    names = {item_id: on.name for item_id, on in shelf.items()}
    names |= await names_of(tx, {line.item_id for order in repeated for line in order.lines} - names.keys())
    claims |= made
    for order in asked:
        tx.emit(_answer(order, claims[order.order_id], names))


async def release_stock(releases: list[ReleaseStock], tx: Transaction) -> None:
    """Put back what orders hold, and acknowledge, as often as it is asked.

    An order never seen gets a RELEASED claim, so that it takes nothing if it arrives after its own release.
    """
    order_ids = {release.order_id for release in releases}
    [claims] = await tx.ask(CLAIMS.locked(order_ids))
    held = await held_by(tx, [order_id for order_id, claim in claims.items() if claim.state == "HELD"])
    stock = await lock_stock(tx, {item_id for pieces in held.values() for item_id in pieces})
    returned: dict[UUID, list[Movement]] = {}
    for order_id, pieces in held.items():
        returned[order_id] = put_back(pieces, stock)
        stock |= {movement.item_id: movement.balance for movement in returned[order_id]}
    await save_movements(tx, "release", returned)
    await CLAIMS.release(tx, [order_id for order_id, claim in claims.items() if claim.state != "RELEASED"])
    await CLAIMS.add(tx, {order_id: Claim("RELEASED") for order_id in order_ids - claims.keys()})
    for release in releases:
        tx.emit(contracts.StockReleased(order_id=release.order_id))


async def return_to_carts(failures: list[OrderFailed], tx: Transaction) -> None:
    """What failed orders took out of carts comes back; what was bought and then called off does not."""
    await bring_back(tx, {failure.order_id for failure in failures if not failure.was_completed})


def _buying(order: OrderPlaced) -> Buying:
    return Buying(
        order.order_id, order.buyer_id, frozenset(line.item_id for line in order.lines), order.placed_at
    )


def _answer(order: OrderPlaced, claim: Claim, names: Mapping[int, str]) -> Event:
    if claim.state == "HELD":
        called = {line.item_id: names[line.item_id] for line in order.lines}
        return contracts.StockReserved(order_id=order.order_id, names=called)
    return contracts.StockRejected(
        order_id=order.order_id, reason=claim.reason or "released", details=claim.details or {}
    )
