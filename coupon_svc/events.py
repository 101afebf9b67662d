"""What coupon hears: orders that use coupons or give them back, and items and their prices. In lists."""

from datetime import datetime
from uuid import UUID

from coupon_svc import contracts
from coupon_svc.domain import Line, Rejection, judge
from coupon_svc.prices import Price, learn
from coupon_svc.wallet import give_back, locked_coupons, terms_of, use_coupons, with_terms
from shared.database.transaction import Transaction
from shared.events.claims import Claim, Claims
from shared.messages import Event, View

CLAIMS = Claims("coupon_claims", key="order_id")


class OrderPlaced(View, of="order.placed"):
    """An order that may use coupons."""

    order_id: UUID
    buyer_id: int
    lines: list[Line]
    participants: list[str]
    placed_at: datetime


class ReleaseCoupons(View, of="order.release.coupon"):
    """An order gives back the coupons that it uses."""

    order_id: UUID


class ItemCreated(View, of="item.created"):
    """An item came into the catalogue."""

    item_id: int
    price: int
    version: int


class ItemChanged(View, of="item.changed"):
    """An item is not what it was; perhaps its price."""

    item_id: int
    price: int
    version: int


class ItemDeleted(View, of="item.deleted"):
    """An item is not sold any more."""

    item_id: int
    version: int


async def apply_coupons(orders: list[OrderPlaced], tx: Transaction) -> None:
    """Use up the coupons of every order that may use them; tell the others why not.

    An order that was answered before gets the same answer again, and one that was released gets a no.
    Coupons are judged by the time of the order, so that a wait in a queue does not let them expire.
    """
    asked = [order for order in orders if "coupon" in order.participants]
    wanted = {one for order in asked for line in order.lines for one in line.user_coupon_ids}
    claims, held, terms = await tx.ask(
        CLAIMS.locked({order.order_id for order in asked}), locked_coupons(wanted), terms_of(wanted)
    )
    coupons = with_terms(held, terms)
    unseen = {order.order_id: order for order in asked if order.order_id not in claims}
    used: dict[UUID, list[int]] = {}
    made: dict[UUID, Claim] = {}
    for order_id, order in unseen.items():
        outcome = judge(order.lines, order.buyer_id, order.placed_at, coupons)
        if isinstance(outcome, Rejection):
            made[order_id] = Claim("REJECTED", outcome.reason, outcome.details)
        else:
            made[order_id] = Claim("HELD")
            used[order_id] = outcome
            coupons |= {one: coupons[one]._replace(used_by=order_id) for one in outcome}
    await use_coupons(tx, used)
    await CLAIMS.add(tx, made)
    claims |= made
    for order in asked:
        tx.emit(_answer(order.order_id, claims[order.order_id]))


async def release_coupons(releases: list[ReleaseCoupons], tx: Transaction) -> None:
    """Give back the coupons that orders use, and acknowledge, as often as it is asked.

    An order never seen gets a RELEASED claim, so that it uses nothing if it arrives after its own release.
    """
    order_ids = {release.order_id for release in releases}
    [claims] = await tx.ask(CLAIMS.locked(order_ids))
    await give_back(tx, [order_id for order_id, claim in claims.items() if claim.state == "HELD"])
    await CLAIMS.release(tx, [order_id for order_id, claim in claims.items() if claim.state != "RELEASED"])
    await CLAIMS.add(tx, {order_id: Claim("RELEASED") for order_id in order_ids - claims.keys()})
    for release in releases:
        tx.emit(contracts.CouponsReleased(order_id=release.order_id))


async def learn_prices(told: list[ItemCreated | ItemChanged], tx: Transaction) -> None:
    """Keep the prices that are told."""
    await learn(tx, [Price(item.item_id, item.price, item.version) for item in told])


async def forget_items(told: list[ItemDeleted], tx: Transaction) -> None:
    """Keep that these items are gone, also where they were never heard of."""
    await learn(tx, [Price(item.item_id, 0, item.version, deleted=True) for item in told])


def _answer(order_id: UUID, claim: Claim) -> Event:
    if claim.state == "HELD":
        return contracts.CouponsApplied(order_id=order_id)
    return contracts.CouponsRejected(
        order_id=order_id, reason=claim.reason or "released", details=claim.details or {}
    )
