"""What must be true of the shop after each test: the books balance, and nothing went to the dead letters."""

from collections import Counter

import aio_pika

from deploy.local.layout import Layout
from ops.databases import reading
from ops.verify.books import databases, examine
from shared.broker.topology import dead_name, queue_name
from tests.contracts.house import SERVICES

QUEUES = [queue_name(name, hearing.heard) for name, service in SERVICES.items() for hearing in service.hears]
WAITING = "SELECT queue, COUNT(*) AS letters FROM query_svc.dead_letters WHERE state = 'DEAD' GROUP BY queue"


async def assert_balanced(at: Layout) -> None:
    """Wait for the shop to come to rest; then every check over all databases must pass."""
    async with databases(at) as source:
        books = await examine(source, patience_s=40, second_look_s=1)
    assert books.orders > 0
    assert not books.discrepancies, "\n".join(found.text for found in books.discrepancies)
    assert await dead_letters(at) == {}


async def dead_letters(at: Layout) -> dict[str, int]:
    """How many dead letters wait, by the queue that gave up on them; queues without any are left out.

    They lie in its queue of dead letters for a moment, and then in the table until somebody acts.
    """
    counts: Counter[str] = Counter()
    connection = await aio_pika.connect(at.amqp_url)
    async with connection, connection.channel() as channel:
        for queue in QUEUES:
            declared = await channel.get_queue(dead_name(queue), ensure=True)
            counts[queue] = declared.declaration_result.message_count or 0
    async with reading(at.verify_url) as query:
        for row in await query(WAITING, ()):
            counts[row["queue"]] += row["letters"]
    return {queue: count for queue, count in counts.items() if count}
