"""The outbox: a row in the transaction, published after the commit, then deleted."""

from uuid import uuid4

from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from pydantic import BaseModel
from tortoise.backends.base.client import BaseDBAsyncClient

from bench.peer.models import OutboxRow

EVENTS = RabbitExchange("peer.events", type=ExchangeType.TOPIC, durable=True)


def queue(name: str, key: str) -> RabbitQueue:
    """A durable queue for the events of one kind."""
    return RabbitQueue(name, queue_type=QueueType.QUORUM, durable=True, routing_key=key)


async def remember(connection: BaseDBAsyncClient, key: str, event: BaseModel) -> OutboxRow:
    """Keep an event in the transaction that it tells of."""
    row = OutboxRow(id=str(uuid4()), routing_key=key, body=event.model_dump_json())
    await row.save(using_db=connection, force_create=True)
    return row


async def send(broker: RabbitBroker, row: OutboxRow, event: BaseModel) -> None:
    """Publish it, confirmed, and forget it."""
    await broker.publish(event, exchange=EVENTS, routing_key=row.routing_key, message_id=row.id, persist=True)
    await OutboxRow.filter(id=row.id).delete()
