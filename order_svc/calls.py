"""The order service's answers to calls."""

from uuid import UUID

from order_svc import domain, reading, saga, store
from order_svc.contracts import (
    CancelOrder,
    GetOrder,
    GetPaymentDue,
    HistoryEntry,
    ListOrders,
    OrderAudited,
    OrderPage,
    OrderPlaced,
    OrderView,
    ParticipantView,
    PaymentDue,
    PlaceOrder,
)
from order_svc.settings import OrderSettings
from shared.database import Reader, Transaction, page
from shared.errors import Conflict, NotFound, Problem


async def place_orders(
    calls: list[PlaceOrder], tx: Transaction, settings: OrderSettings
) -> list[OrderView | Problem]:
    """Accept each order as PENDING; what was placed before is answered as it is now."""
    answers: list[OrderView | Problem] = []
    # That an order is there already shows when its row is written. Only then is there anything to look up.
    known = await reading.of_orders(tx, [call.order_id for call in calls]) if tx.is_again else {}
    fresh: dict[UUID, OrderPlaced] = {}
    for call in calls:
        try:
            if call.order_id in known:
                answers.append(known[call.order_id])
            elif call.order_id in fresh:  # sent again so soon that both arrived together
                answers.append(_as_placed(fresh[call.order_id]))
            else:
                placed = _placed(call, tx)
                fresh[call.order_id] = placed
                answers.append(_as_placed(placed))
        except Problem as problem:
            answers.append(problem)
    await store.insert_orders(tx, list(fresh.values()), settings)
    return answers


def as_it_is_now(order: OrderView) -> GetOrder:
    """What is asked when an order is placed again under its idempotency key."""
    return GetOrder(order_id=order.id)


async def get_orders(calls: list[GetOrder], reader: Reader) -> list[OrderView | Problem]:
    """Each order as it is; to a buyer only his own."""
    found = await reading.of_orders(reader, [call.order_id for call in calls])
    return [_shown(found.get(call.order_id), call) for call in calls]


async def list_orders(call: ListOrders, reader: Reader) -> OrderPage:
    """A page of orders, newest first."""
    items, after = await page(
        call.limit, lambda most: reading.summaries(reader, call, limit=most), lambda order: order.id
    )
    return OrderPage(items=items, next=after)


async def cancel_order(call: CancelOrder, tx: Transaction, settings: OrderSettings) -> OrderView:
    """Cancel an order that is pending or completed; what it took will be given back.

    Cancelled once more, an order that is still being given back is looked at again soon.
    """
    order = (await store.lock_orders(tx, [call.order_id])).get(call.order_id)
    if order is None or call.buyer_id not in (None, order.buyer_id):
        raise NotFound(f"There is no order {call.order_id}.")
    before = order.saga.status.value
    if saga.cancel(order.saga, call.by):
        await store.save_orders(tx, [order], settings, by=call.actor)
        if call.by == "admin":
            tx.emit(
                OrderAudited(
                    by=call.actor,
                    action="cancel order",
                    target=f"order {call.order_id}",
                    before={"status": before},
                    after={"status": order.saga.status.value, "reason": order.saga.reason},
                )
            )
    elif saga.was_cancelled(order.saga):
        await store.hasten_releases(tx, order, settings)
    else:
        raise Conflict(f"The order has failed already ({order.saga.reason}); it cannot be cancelled.")
    return (await reading.of_orders(tx, [call.order_id]))[call.order_id]


async def get_payment_due(call: GetPaymentDue, reader: Reader) -> PaymentDue:
    """What the order costs, if it is completed, unpaid and this buyer's."""
    order = await reader.find_one(reading.BILL, call.order_id)
    if order is None or order.buyer_id != call.buyer_id:
        raise NotFound(f"There is no order {call.order_id}.")
    if order.paid and order.status == saga.Status.COMPLETED:
        raise Conflict("The order is paid already.")
    if order.status != saga.Status.COMPLETED:
        raise Conflict(f"Only a completed order is paid for; this one is {order.status}.")
    return PaymentDue(amount=order.total)


def _shown(view: OrderView | None, call: GetOrder) -> OrderView | Problem:
    if view is None or call.buyer_id not in (None, view.buyer_id):
        return NotFound(f"There is no order {call.order_id}.")
    return view


def _placed(call: PlaceOrder, tx: Transaction) -> OrderPlaced:
    lines = domain.lines_of(call)
    return OrderPlaced(
        order_id=call.order_id,
        buyer_id=call.buyer_id,
        lines=lines,
        total=domain.total_of(lines),
        pay_with=call.pay_with,
        payment_id=call.payment_id,
        participants=domain.participants_of(call),
        placed_at=tx.now,
    )


def _as_placed(placed: OrderPlaced) -> OrderView:
    """The order as it stands right after placing, without reading it back."""
    return OrderView(
        id=placed.order_id,
        buyer_id=placed.buyer_id,
        status=saga.Status.PENDING,
        reason=None,
        reason_details=None,
        settled=False,
        paid=False,
        pay_with=placed.pay_with,
        total=placed.total,
        lines=reading.line_views(placed.lines, {}),
        participants=[
            ParticipantView(name=name, state=saga.State.AWAITING, changed_at=placed.placed_at)
            for name in placed.participants
        ],
        history=[
            HistoryEntry(
                at=placed.placed_at, what="ORDER_CREATED", participant=None, status="PENDING", details=None
            )
        ],
        version=1,
        created_at=placed.placed_at,
    )
