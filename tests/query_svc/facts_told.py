"""Events as their publishers write them, about invented orders, at times of the test's choosing."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from coupon_svc import contracts as coupon
from item_svc import contracts as item
from order_svc import contracts as order
from payment_svc import contracts as payment
from query_svc import events, projections
from query_svc.domain import Kept, keep
from shared.database.transaction import Reader
from shared.database.units import Database
from shared.events import cloudevents
from shared.events.cloudevents import CloudEvent, Undecoded
from shared.ids import new_id
from shared.messages import Event, service_of, subject_of

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
"""A Wednesday."""

_read = msgspec.json.Decoder(Undecoded)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def line(item_id: int, quantity: int = 1, price: int = 100) -> order.Line:
    """A line of an order."""
    return order.Line(item_id=item_id, quantity=quantity, unit_price=price, discounted_price=price)


def told(event: Event, when: datetime, *, cause: str | None = None, sequence: int | None = None) -> Undecoded:
    """An event on the wire."""
    name = type(event).wire_name
    raw = cloudevents.encode(
        CloudEvent(
            id=str(new_id()),
            source=f"/{service_of(name)}-svc",
            type=name,
            subject=subject_of(event),
            time=when,
            correlationid=subject_of(event),
            causationid=cause,
            sequence=sequence,
            data=event,
        )
    )
    return _read.decode(raw)


def strange(kind: str, data: Any, **changes: Any) -> Undecoded:
    """An event that nobody of the house publishes."""
    values: dict[str, Any] = {
        "id": str(new_id()),
        "source": "/elsewhere",
        "type": kind,
        "subject": "7",
        "time": NOON,
        "data": data,
        **changes,
    }
    return _read.decode(cloudevents.encode(CloudEvent(**values)))


def id_made_at(moment: datetime) -> UUID:
    """A fresh order id, as it would have been made at that time."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (new_id().int & (2**80 - 1)))


class Story:
    """What is told of one order, step by step; every step is a second after the one before."""

    def __init__(
        self,
        *lines: order.Line,
        buyer_id: int = 2,
        participants: Sequence[str] = ("item",),
        start: datetime = NOON,
    ) -> None:
        self.order_id = id_made_at(start)
        self.events: list[Undecoded] = []
        self._buyer_id = buyer_id
        self._lines = list(lines) or [line(1)]
        self._participants = list(participants)
        self._now = start
        self._total = sum(one.quantity * one.discounted_price for one in self._lines)

    def add(self, event: Event, *, cause: str | None = None) -> "Story":
        """Tell one more event, a second later."""
        cause = cause or (self.events[0].id if self.events else None)
        self.events.append(told(event, self._now, cause=cause, sequence=len(self.events) + 1))
        self._now += timedelta(seconds=1)
        return self

    def placed(self) -> "Story":
        return self.add(
            order.OrderPlaced(
                order_id=self.order_id,
                buyer_id=self._buyer_id,
                lines=self._lines,
                total=self._total,
                pay_with="points" if "payment" in self._participants else None,
                payment_id=None,
                participants=self._participants,
                placed_at=self._now,
            )
        )

    def reserved(self) -> "Story":
        return self.add(
            item.StockReserved(
                order_id=self.order_id, names={one.item_id: f"item {one.item_id}" for one in self._lines}
            )
        )

    def no_stock(self) -> "Story":
        details = {"item_id": 1, "asked": 1, "left": 0}
        return self.add(item.StockRejected(order_id=self.order_id, reason="out_of_stock", details=details))

    def applied(self) -> "Story":
        return self.add(coupon.CouponsApplied(order_id=self.order_id))

    def captured(self, payment_id: UUID) -> "Story":
        return self.add(
            payment.PaymentCaptured(order_id=self.order_id, payment_id=payment_id, amount=self._total)
        )

    def completed(self) -> "Story":
        return self.add(
            order.OrderCompleted(
                order_id=self.order_id,
                buyer_id=self._buyer_id,
                total=self._total,
                paid=False,
                version=2,
                participants=[],
                history=[],
                item_names={},
            )
        )

    def confirmed(self, payment_id: UUID | None = None) -> "Story":
        return self.add(
            order.OrderConfirmed(
                order_id=self.order_id,
                buyer_id=self._buyer_id,
                total=self._total,
                payment_id=payment_id or new_id(),
                confirmed_at=self._now,
            )
        )

    def partly_refunded(self, payment_id: UUID, amount: int, refunded: int, *, after_s: float = 0) -> "Story":
        return self.add(
            payment.PaymentPartlyRefunded(
                order_id=self.order_id,
                payment_id=payment_id,
                user_id=self._buyer_id,
                amount=amount,
                refunded=refunded,
                refunded_at=self._now + timedelta(seconds=after_s),
            )
        )

    def payment_kept(self, payment_id: UUID) -> "Story":
        return self.add(
            payment.PaymentKept(
                order_id=self.order_id,
                payment_id=payment_id,
                user_id=self._buyer_id,
                amount=self._total,
                note="paid in cash",
            )
        )

    def settled(self, reason: str, details: dict[str, Any] | None) -> "Story":
        return self.add(
            order.OrderSettled(
                order_id=self.order_id, buyer_id=self._buyer_id, reason=reason, reason_details=details
            )
        )

    def failed(self, reason: str, *, settled: bool = False, was_completed: bool = False) -> "Story":
        return self.add(
            order.OrderFailed(
                order_id=self.order_id,
                buyer_id=self._buyer_id,
                reason=reason,
                reason_details=None,
                settled=settled,
                was_completed=was_completed,
            )
        )

    def released(self, *, ask: bool = True, acknowledge: bool = True) -> "Story":
        if ask:
            self.add(order.ReleaseItem(order_id=self.order_id))
        return self.add(item.StockReleased(order_id=self.order_id)) if acknowledge else self

    def cancelled(self, reason: str) -> "Story":
        return self.add(order.OrderCancelled(order_id=self.order_id, buyer_id=self._buyer_id, reason=reason))

    def bought(self, payment_id: UUID | None = None) -> "Story":
        """The whole way of an order that is paid."""
        return self.placed().reserved().completed().confirmed(payment_id)

    def called_off(self) -> "Story":
        """The whole way back."""
        reason = "cancelled_by_buyer"
        return self.failed(reason, was_completed=True).released().cancelled(reason)

    def kept(self) -> list[Kept]:
        """The events as the store keeps them."""
        return [keep(event, position) for position, event in enumerate(self.events, start=1)]


async def hear(db: Database, news: Iterable[Undecoded], *, portion: int = 64) -> None:
    """Give events to the service, in portions, as its consumer does."""
    rest = list(news)
    for start in range(0, len(rest), portion):
        part = rest[start : start + portion]
        await db.transaction(lambda tx, part=part: events.take_in(part, tx))


COLUMNS = {
    "order_views": "*",
    "item_names": "*",
    "item_sales": "period, start, item_id, quantity, revenue",
    "sales_hours": "*",
}


async def read_views(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all views, in some fixed order."""
    assert set(COLUMNS) == set(projections.TABLES)

    async def read(reader: Reader) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table: sorted(await reader.rows(f"SELECT {columns} FROM {table}"), key=repr)
            for table, columns in COLUMNS.items()
        }

    return await db.read(read)
