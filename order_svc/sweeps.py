"""What time does to orders: deadlines pass, and releases that nobody acknowledged are sent again."""

from datetime import timedelta
from uuid import UUID

from order_svc import saga, store
from order_svc.contracts import OrderPlaced
from order_svc.settings import OrderSettings
from shared.outbox import Outbox
from shared.transaction import Transaction

SWEEP = 200
LONGEST_PAUSE = timedelta(minutes=10)


async def fail_overdue(tx: Transaction, outbox: Outbox, settings: OrderSettings) -> None:
    """Fail the orders whose participants did not answer in time, and the completed ones nobody has paid.

    Not while the broker is away, and not right after it came back or this process started: an order that is
    due then was held up by us. Nor one whose `order.placed` still waits in the outbox. Those get one more
    deadline, so that an outage does not fail good orders in a heap.
    """
    if outbox.connected_since is None:
        return
    due = await tx.rows(
        "SELECT id FROM orders WHERE deadline_at <= %s ORDER BY deadline_at, id LIMIT %s"
        " FOR UPDATE SKIP LOCKED",
        (tx.now, SWEEP),
    )
    if not due:
        return
    orders = await store.lock_orders(tx, [UUID(row[0]) for row in due])
    allowance = timedelta(seconds=settings.order_deadline_s)
    if tx.now < outbox.connected_since + allowance:
        held_up = {str(order_id) for order_id in orders}
    else:
        held_up = await outbox.waiting_subjects(tx, OrderPlaced)
    again = sorted(str(order_id) for order_id in orders if str(order_id) in held_up)
    if again:
        await tx.write("UPDATE orders SET deadline_at = %s WHERE id IN %s", (tx.now + allowance, again))
    overdue = [order for order_id, order in orders.items() if str(order_id) not in held_up]
    for order in overdue:
        saga.deadline(order.saga)
    await store.save_orders(tx, overdue, settings)


async def release_again(tx: Transaction, settings: OrderSettings) -> None:
    """Ask again, with a new event, for what has not been given back; ever more slowly, but for ever."""
    due = await tx.rows(
        "SELECT id, order_id, name, releases, release_due_at FROM participants WHERE release_due_at <= %s"
        " ORDER BY release_due_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
        (tx.now, SWEEP),
    )
    for row_id, order_id, name, releases, _ in due:
        pause = min(timedelta(seconds=settings.order_release_again_s) * 2 ** min(releases, 10), LONGEST_PAUSE)
        await tx.write(
            "UPDATE participants SET release_due_at = %s, releases = releases + 1 WHERE id = %s",
            (tx.now + pause, row_id),
        )
        tx.emit(store.RELEASES[name](order_id=UUID(order_id)))
