"""The item service."""

from faststream.rabbit import RabbitBroker
from tortoise.transactions import in_transaction

from bench.peer.messages import Answered, OrderPlaced
from bench.peer.models import Claim, Item
from bench.peer.outbox import EVENTS, queue, remember, send


def subscribe(broker: RabbitBroker) -> None:
    """Take stock for orders."""

    @broker.subscriber(queue("peer.item", "placed"), EVENTS)
    async def reserve(event: OrderPlaced) -> None:
        async with in_transaction() as connection:
            claim = await Claim.get_or_none(order_id=event.order_id, using_db=connection)
            if claim is None:
                wanted = [line.item_id for line in event.lines]
                items = {
                    item.id: item
                    for item in await Item.filter(id__in=wanted)
                    .order_by("id")
                    .select_for_update()
                    .using_db(connection)
                }
                ok = all(
                    line.item_id in items
                    and items[line.item_id].price == line.unit_price
                    and items[line.item_id].stock >= line.quantity
                    for line in event.lines
                )
                if ok:
                    for line in event.lines:
                        items[line.item_id].stock -= line.quantity
                    await Item.bulk_update(items.values(), fields=["stock"], using_db=connection)
                claim = await Claim.create(order_id=event.order_id, ok=ok, using_db=connection)
            answer = Answered(order_id=event.order_id, ok=claim.ok)
            row = await remember(connection, "reserved", answer)
        await send(broker, row, answer)
