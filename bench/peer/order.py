"""The order service."""

from faststream.rabbit import RabbitBroker, RabbitQueue
from tortoise.transactions import in_transaction

from bench.peer.messages import Answered, OrderEnded, OrderPlaced, OrderView, PlaceOrder
from bench.peer.models import Order
from bench.peer.outbox import EVENTS, queue, remember, send


def subscribe(broker: RabbitBroker) -> None:
    """Answer requests to place orders, and count the answers of item and coupon."""

    @broker.subscriber(RabbitQueue("peer.place", auto_delete=True))
    async def place(request: PlaceOrder) -> OrderView:
        total = sum(
            line.quantity * (line.unit_price if line.discounted_price is None else line.discounted_price)
            for line in request.lines
        )
        event = OrderPlaced(order_id=request.order_id, buyer_id=request.buyer_id, lines=request.lines)
        async with in_transaction() as connection:
            order = await Order.create(
                using_db=connection,
                id=request.order_id,
                buyer_id=request.buyer_id,
                status="PENDING",
                total=total,
                lines=[line.model_dump() for line in request.lines],
            )
            row = await remember(connection, "placed", event)
        await send(broker, row, event)
        return OrderView(
            id=order.id, buyer_id=order.buyer_id, status=order.status, total=total, lines=request.lines
        )

    @broker.subscriber(queue("peer.reserved", "reserved"), EVENTS)
    async def item_answered(event: Answered) -> None:
        await count(event, "item_ok")

    @broker.subscriber(queue("peer.applied", "applied"), EVENTS)
    async def coupon_answered(event: Answered) -> None:
        await count(event, "coupon_ok")

    async def count(event: Answered, field: str) -> None:
        async with in_transaction() as connection:
            order = await Order.select_for_update().using_db(connection).get(id=event.order_id)
            if order.status != "PENDING":
                return
            setattr(order, field, event.ok)
            if order.item_ok is False or order.coupon_ok is False:
                order.status = "FAIL"
            elif order.item_ok and order.coupon_ok:
                order.status = "COMPLETED"
            await order.save(using_db=connection, update_fields=[field, "status"])
            if order.status == "PENDING":
                return
            ended = OrderEnded(order_id=order.id, status=order.status)
            row = await remember(connection, "ended", ended)
        await send(broker, row, ended)
