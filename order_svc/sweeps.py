"""What time does to orders: deadlines pass, and releases that nobody acknowledged are sent again."""

from collections.abc import Mapping
from uuid import UUID

from order_svc import announcing, due, saga, store
from order_svc.contracts import OrderPlaced
from order_svc.settings import OrderSettings
from order_svc.stored import StoredOrder
from shared.database import Row, Select, Transaction
from shared.events import Outbox

SWEEP = 200


class _Found(Row):
    id: UUID


class _Unacknowledged(Row):
    id: int
    order_id: UUID
    name: str
    releases: int


_OVERDUE = Select(
    _Found,
    "FROM orders WHERE deadline_at <= %s ORDER BY deadline_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
)
_WAITING_FOR_EVER = Select(
    _Found, "FROM orders WHERE deadline_at = %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
)
_UNACKNOWLEDGED = Select(
    _Unacknowledged,
    "FROM participants WHERE release_due_at <= %s ORDER BY release_due_at, id LIMIT %s"
    " FOR UPDATE SKIP LOCKED",
)


async def fail_overdue(tx: Transaction, outbox: Outbox, settings: OrderSettings) -> None:
    """Fail the orders whose participants did not answer in time, and the completed ones nobody has paid.

    Not while the broker is away, and not right after it came back or this process started: an order that is
    due then was held up by us. Nor one whose `order.placed` still waits in the outbox. Those get one more
    deadline, so that an outage does not fail good orders in a heap; each of them once, so that a link which
    comes and goes does not keep them waiting for ever.
    """
    if outbox.connected_since is None:
        return
    found = await tx.find(_OVERDUE, tx.now, SWEEP)
    if not found:
        return
    orders = await store.lock_orders(tx, [order.id for order in found])
    held_up = await _held_up(orders, tx, outbox, settings)
    if held_up:
        await tx.write(
            "UPDATE orders SET deadline_at = %s, extended_at = %s WHERE id IN %s",
            (due.answers_due(tx.now, settings), tx.now, sorted(held_up)),
        )
    overdue = [order for order_id, order in orders.items() if order_id not in held_up]
    for order in overdue:
        saga.deadline(order.saga)
    await store.save_orders(tx, overdue, settings)


async def _held_up(
    orders: Mapping[UUID, StoredOrder], tx: Transaction, outbox: Outbox, settings: OrderSettings
) -> set[UUID]:
    """Those overdue orders that an outage may have held up, and that were not given time for one yet."""
    could_be = {order_id for order_id, order in orders.items() if order.extended_at is None}
    if not could_be or outbox.connected_since is None:
        return set()
    if tx.now < due.answers_due(outbox.connected_since, settings):
        return could_be
    waiting = await outbox.waiting_subjects(tx, OrderPlaced)
    return {order_id for order_id in could_be if str(order_id) in waiting}


async def release_again(tx: Transaction, settings: OrderSettings) -> None:
    """Ask again, with a new event, for what has not been given back; ever more slowly, but for ever."""
    for participant in await tx.find(_UNACKNOWLEDGED, tx.now, SWEEP):
        await tx.write(
            "UPDATE participants SET release_due_at = %s, releases = releases + 1 WHERE id = %s",
            (tx.now + due.pause(participant.releases, settings), participant.id),
        )
        tx.emit(announcing.release(participant.name, participant.order_id))


async def end_waiting_for_ever(tx: Transaction, settings: OrderSettings) -> None:
    """Give a deadline to orders that were completed while there was no time to be paid within, and now is."""
    if not settings.order_unpaid_s:
        return
    found = await tx.find(_WAITING_FOR_EVER, due.FOR_EVER, SWEEP)
    if found:
        await tx.write(
            "UPDATE orders SET deadline_at = %s WHERE id IN %s",
            (due.payment_due(tx.now, settings), [order.id for order in found]),
        )
