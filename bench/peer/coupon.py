"""The coupon service."""

from faststream.rabbit import RabbitBroker
from tortoise.transactions import in_transaction

from bench.peer.messages import Answered, OrderPlaced
from bench.peer.models import Claim, UserCoupon
from bench.peer.outbox import EVENTS, queue, remember, send


def subscribe(broker: RabbitBroker) -> None:
    """Use up coupons for orders."""

    @broker.subscriber(queue("peer.coupon", "placed"), EVENTS)
    async def apply(event: OrderPlaced) -> None:
        async with in_transaction() as connection:
            claim = await Claim.get_or_none(order_id=event.order_id, using_db=connection)
            if claim is None:
                wanted = [one for line in event.lines for one in line.user_coupon_ids]
                coupons = {
                    coupon.id: coupon
                    for coupon in await UserCoupon.filter(id__in=wanted)
                    .order_by("id")
                    .select_for_update()
                    .using_db(connection)
                }
                ok = may_use(event, coupons)
                if ok:
                    await UserCoupon.filter(id__in=wanted).using_db(connection).update(used_by=event.order_id)
                claim = await Claim.create(order_id=event.order_id, ok=ok, using_db=connection)
            answer = Answered(order_id=event.order_id, ok=claim.ok)
            row = await remember(connection, "applied", answer)
        await send(broker, row, answer)


def may_use(event: OrderPlaced, coupons: dict[int, UserCoupon]) -> bool:
    """Whether all coupons are the buyer's, unused, and make the prices that were named."""
    for line in event.lines:
        price = line.unit_price
        for one in line.user_coupon_ids:
            coupon = coupons.get(one)
            if coupon is None or coupon.user_id != event.buyer_id or coupon.used_by is not None:
                return False
            price -= min(coupon.discount, line.unit_price // 2)
        if price != (line.unit_price if line.discounted_price is None else line.discounted_price):
            return False
    return True
