"""What item hears: orders to take stock for, and orders to give it back from. Lists, one transaction each."""

from uuid import UUID

from item_svc import contracts
from item_svc.claims import add_claims, lock_claims, mark_released
from item_svc.domain import Claim, Line, Movement, Rejection, move, put_back, reserve
from item_svc.shelf import held_by, lock_shelf, lock_stock, save_movements
from shared.database import Transaction
from shared.messages import Event, View


class OrderPlaced(View, of="order.placed"):
    """An order asks for stock."""

    order_id: UUID
    lines: list[Line]
    participants: list[str]


class ReleaseStock(View, of="order.release.item"):
    """An order gives back what it holds."""

    order_id: UUID


async def reserve_stock(orders: list[OrderPlaced], tx: Transaction) -> None:
    """Take the stock of every order that can be served; tell the others why not.

    An order that was answered before gets the same answer again, and one that was released gets a no.
    """
    asked = [order for order in orders if "item" in order.participants]
    claims = await lock_claims(tx, {order.order_id for order in asked})
    unseen = {order.order_id: order for order in asked if order.order_id not in claims}
    shelf = await lock_shelf(tx, {line.item_id for order in unseen.values() for line in order.lines})
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
    await add_claims(tx, made)
    claims |= made
    for order in asked:
        tx.emit(_answer(order.order_id, claims[order.order_id]))


async def release_stock(releases: list[ReleaseStock], tx: Transaction) -> None:
    """Put back what orders hold, and acknowledge, as often as it is asked.

    An order never seen gets a RELEASED claim, so that it takes nothing if it arrives after its own release.
    """
    order_ids = {release.order_id for release in releases}
    claims = await lock_claims(tx, order_ids)
    held = await held_by(tx, [order_id for order_id, claim in claims.items() if claim.state == "HELD"])
    stock = await lock_stock(tx, {item_id for pieces in held.values() for item_id in pieces})
    returned: dict[UUID, list[Movement]] = {}
    for order_id, pieces in held.items():
        returned[order_id] = put_back(pieces, stock)
        stock |= {movement.item_id: movement.balance for movement in returned[order_id]}
    await save_movements(tx, "release", returned)
    await mark_released(tx, [order_id for order_id, claim in claims.items() if claim.state != "RELEASED"])
    await add_claims(tx, {order_id: Claim("RELEASED") for order_id in order_ids - claims.keys()})
    for release in releases:
        tx.emit(contracts.StockReleased(order_id=release.order_id))


def _answer(order_id: UUID, claim: Claim) -> Event:
    if claim.state == "HELD":
        return contracts.StockReserved(order_id=order_id)
    return contracts.StockRejected(
        order_id=order_id, reason=claim.reason or "released", details=claim.details or {}
    )
