"""What coupon hears: orders that use coupons or give them back, and items and their prices. In lists."""

from datetime import datetime
from uuid import UUID

from coupon_svc import contracts
from coupon_svc.domain import Line, judge
from coupon_svc.store.coupons import give_back, locked_coupons, terms_of, use_coupons, with_terms
from coupon_svc.store.prices import Price, learn
from shared.database import Rows, Through, Transaction
from shared.events import Claims
from shared.messages import Rejection, View

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


def rows_of_order(order: OrderPlaced) -> list[Rows]:
    """What using coupons for an order locks."""
    if "coupon" not in order.participants:
        return []
    return [
        Rows("coupon_claims", "order_id", [order.order_id]),
        Rows("user_coupons", "id", [one for line in order.lines for one in line.user_coupon_ids]),
    ]


def rows_of_release(release: ReleaseCoupons) -> list[Rows]:
    """What giving back locks: an order's coupons stand among their uses."""
    used = Through("coupon_uses", "order_id", "user_coupon_id")
    return [
        Rows("coupon_claims", "order_id", [release.order_id]),
        Rows("user_coupons", "id", [release.order_id], used),
    ]


async def apply_coupons(orders: list[OrderPlaced], tx: Transaction) -> None:
    """Use up the coupons of every order that may use them; tell the others why not.

    Coupons are judged by the time of the order, so that a wait in a queue does not let them expire.
    """
    asked = [order for order in orders if "coupon" in order.participants]
    wanted = {one for order in asked for line in order.lines for one in line.user_coupon_ids}
    known, held, terms = await tx.ask(CLAIMS.of(asked), locked_coupons(wanted), terms_of(wanted))
    coupons = with_terms(held, terms)
    used: dict[UUID, list[int]] = {}

    def decide(order: OrderPlaced) -> Rejection | None:
        outcome = judge(order.lines, order.buyer_id, order.placed_at, coupons)
        if isinstance(outcome, Rejection):
            return outcome
        coupons.update({one: coupons[one]._replace(used_by=order.order_id) for one in outcome})
        used[order.order_id] = outcome
        return None

    answers = await CLAIMS.answer(tx, known, asked, decide)
    await use_coupons(tx, used)
    for order, rejection in answers:
        tx.emit(
            contracts.CouponsApplied(order_id=order.order_id)
            if rejection is None
            else contracts.CouponsRejected(
                order_id=order.order_id, reason=rejection.reason, details=rejection.details
            )
        )


async def release_coupons(releases: list[ReleaseCoupons], tx: Transaction) -> None:
    """Give back the coupons that orders use, and acknowledge, as often as it is asked."""
    await CLAIMS.release(tx, releases, give_back)
    for release in releases:
        tx.emit(contracts.CouponsReleased(order_id=release.order_id))


async def learn_prices(told: list[ItemCreated | ItemChanged], tx: Transaction) -> None:
    """Keep the prices that are told."""
    await learn(tx, [Price(item.item_id, item.price, item.version) for item in told])


async def forget_items(told: list[ItemDeleted], tx: Transaction) -> None:
    """Keep that these items are gone, also where they were never heard of."""
    await learn(tx, [Price(item.item_id, 0, item.version, deleted=True) for item in told])
