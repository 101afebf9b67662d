"""Orders, timelines and queues as the console is told of them, invented."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.operators.flow import Flow, FlowEdge, FlowNode
from gateway.operators.management import Queue
from order_svc.contracts import HistoryEntry, LineView, OrderView, ParticipantView
from query_svc.contracts import OrderRow, Step, StoredEvent, Timeline

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORDER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def at(seconds: float) -> datetime:
    """So long after the beginning."""
    return BEGIN + timedelta(seconds=seconds)


def row(number: int = 0, **changes: Any) -> OrderRow:
    """An order in the list."""
    facts: dict[str, Any] = {
        "order_id": UUID(int=ORDER.int + number),
        "buyer_id": 2,
        "status": "COMPLETED",
        "reason": None,
        "settled": True,
        "paid": False,
        "pay_with": None,
        "total": 49_800,
        "line_count": 1,
        "placed_at": BEGIN,
        "last_event_at": BEGIN,
    }
    return OrderRow(**facts | changes)


def order(lines: int = 1, **changes: Any) -> OrderView:
    """An order as the order service shows it."""
    facts: dict[str, Any] = {
        "id": ORDER,
        "buyer_id": 2,
        "status": "COMPLETED",
        "reason": None,
        "reason_details": None,
        "settled": True,
        "paid": False,
        "pay_with": None,
        "total": 49_800 * lines,
        "lines": [
            LineView(item_id=n, quantity=1, unit_price=49_800, discounted_price=49_800, name=f"Shirt {n}")
            for n in range(1, lines + 1)
        ],
        "participants": [ParticipantView(name="item", state="YES", changed_at=BEGIN)],
        "history": [
            HistoryEntry(at=BEGIN, what="ORDER_CREATED", participant=None, status="PENDING", details=None)
        ],
        "version": 2,
        "created_at": BEGIN,
    }
    return OrderView(**facts | changes)


def step(service: str, start: float, end: float | None, **changes: Any) -> Step:
    """A step of an order's way, in seconds after its beginning."""
    facts: dict[str, Any] = {
        "service": service,
        "name": f"{service} does it",
        "backwards": False,
        "started_at": at(start),
        "ended_at": None if end is None else at(end),
        "duration_ms": None if end is None else round((end - start) * 1000),
        "attempts": 1,
        "outcome": "waiting" if end is None else "done",
        "reason": None,
        "details": None,
        "asked_by": ["asking"],
        "answered_by": [] if end is None else ["answering"],
    }
    return Step(**facts | changes)


def timeline(*steps: Step, **changes: Any) -> Timeline:
    """An order's way in these steps."""
    facts: dict[str, Any] = {
        "order_id": ORDER,
        "buyer_id": 2,
        "status": "COMPLETED",
        "reason": None,
        "settled": True,
        "paid": False,
        "started_at": BEGIN,
        "ended_at": BEGIN,
        "duration_ms": 0,
        "steps": list(steps),
        "waiting_for": [],
        "events": len(steps),
        "position": 1,
        "complete": True,
    }
    return Timeline(**facts | changes)


def event(number: int, data: Any = None) -> StoredEvent:
    """A message about the order."""
    return StoredEvent(
        position=number,
        message_id=f"message-{number}",
        saga_id=str(ORDER),
        service="order",
        event_type="order.placed",
        status="PENDING",
        subject=str(ORDER),
        sequence=1,
        correlation_id=str(ORDER),
        causation_id=None,
        time=BEGIN,
        stored_at=BEGIN,
        data=data,
    )


def queue(name: str, ready: int = 0, consumers: int = 1) -> Queue:
    """A queue with so much in it."""
    return Queue(
        name=name,
        ready=ready,
        unacknowledged=0,
        consumers=consumers,
        publish_rate=0.0,
        deliver_rate=0.0,
        acknowledge_rate=0.0,
    )


def edge(event: str, consumer: str, *, dead: int | None = 0, tap: bool = False) -> FlowEdge:
    """An event on its way to a listener."""
    return FlowEdge(
        event=event,
        publisher=event.partition(".")[0],
        consumer=consumer,
        queue=None if tap else f"{consumer}.{event}",
        handler="somewhere",
        ready=0,
        unacknowledged=0,
        consumers=1,
        publish_rate=0.0,
        deliver_rate=0.0,
        dead=dead,
    )


def flow(publishes: dict[str, list[str]], *edges: FlowEdge) -> Flow:
    """A map of services that publish this, and who listens."""
    nodes = [
        FlowNode(service=name, present=True, described=True, publishes=events)
        for name, events in publishes.items()
    ]
    return Flow(nodes=nodes, edges=list(edges), queues_known=True, dead_known=True)
