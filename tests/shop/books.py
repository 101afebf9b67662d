"""What must be true of the shop after each test: the books balance, and nothing went to the dead letters."""

import aio_pika

from deploy.local.layout import Layout
from ops.databases import reading
from ops.verify.books import examine
from shared.topology import dead_name, queue_name
from tests.contracts.house import SERVICES

QUEUES = [queue_name(name, hearing.heard) for name, service in SERVICES.items() for hearing in service.hears]


async def assert_balanced(at: Layout) -> None:
    """Wait for the shop to come to rest; then every check over all databases must pass."""
    async with reading(at.verify_url) as query:
        books = await examine(query, patience_s=40, second_look_s=1)
    assert books.orders > 0
    assert not books.discrepancies, "\n".join(found.text for found in books.discrepancies)
    assert await dead_letters(at) == {}


async def dead_letters(at: Layout) -> dict[str, int]:
    """How many dead letters lie where; queues without any are left out."""
    counts: dict[str, int] = {}
    connection = await aio_pika.connect(at.amqp_url)
    async with connection, connection.channel() as channel:
        for queue in map(dead_name, QUEUES):
            declared = await channel.get_queue(queue, ensure=True)
            counts[queue] = declared.declaration_result.message_count or 0
    return {queue: count for queue, count in counts.items() if count}


async def take_dead_letters(at: Layout, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """Take the dead letters of a queue out, to look at them."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    connection = await aio_pika.connect(at.amqp_url)
    async with connection, connection.channel() as channel:
        declared = await channel.get_queue(dead_name(queue), ensure=False)
        while (message := await declared.get(fail=False)) is not None:
            await message.ack()
            found.append(message)
    return found
