"""The order side: the real order service on a database of its own, and an item service."""

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from item_svc.contracts import StockRejected, StockReleased, StockReserved
from order_svc import calls, events, sweeps
from order_svc.contracts import (
    CancelOrder,
    GetPaymentDue,
    LineRequest,
    OrderPlaced,
    OrderView,
    PlaceOrder,
    ReleaseItem,
)
from order_svc.settings import OrderSettings
from shared.database.units import Database
from shared.errors import OutcomeUnknown, Unavailable
from shared.events.outbox import Outbox
from shared.messages import Event
from tests.payment_svc.model.clock import START
from tests.payment_svc.model.gateway import Trouble
from tests.support.databases import Heard

SETTINGS = OrderSettings()


class Claim(StrEnum):
    """What item has written down for an order."""

    HELD = "HELD"
    REJECTED = "REJECTED"
    RELEASED = "RELEASED"


class OrderSide:
    """Orders as payment meets them: by events, and by calls that may get lost as well."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.heard = Heard()
        self.trouble = Trouble.NONE
        """What befalls every call."""
        self._outbox = Outbox("order", db)
        self._outbox.connected_since = START - timedelta(hours=1)
        self._in_stock: dict[UUID, bool] = {}
        self._claims: dict[UUID, Claim] = {}
        db.publish_through(self.heard)

    async def call(self, call: Any, **_: Any) -> Any:
        """Answer the payment service's calls; takes the place of its way to call others."""
        trouble = self.trouble
        if trouble in (Trouble.UNREACHABLE, Trouble.LATE, Trouble.HANGS):
            raise Unavailable("The order service is away.")
        if trouble is Trouble.DIES_BEFORE:
            raise asyncio.CancelledError
        if isinstance(call, GetPaymentDue):
            answer = await self.db.read(lambda reader: calls.get_payment_due(call, reader))
        else:
            answer = await self.cancel(call)
        if trouble is Trouble.ANSWER_LOST:
            raise OutcomeUnknown("The connection broke.")
        if trouble is Trouble.DIES_AFTER:
            raise asyncio.CancelledError
        return answer

    def has_stock(self, orders: dict[UUID, bool]) -> None:
        """Which orders item will be able to serve."""
        self._in_stock |= orders

    async def place(self, call: PlaceOrder, *, in_stock: bool) -> None:
        """Place an order, which item will be able to serve or not."""
        self._in_stock[call.order_id] = in_stock
        [placed] = await self.db.transaction(lambda tx: calls.place_orders([call], tx, SETTINGS))
        assert isinstance(placed, OrderView), placed

    async def cancel(self, call: CancelOrder) -> OrderView:
        """Cancel an order. Raises what the service raises."""
        return await self.db.transaction(lambda tx: calls.cancel_order(call, tx, SETTINGS))

    async def hear(self, answers: list[Any]) -> None:
        """Participants have answered."""
        await self.db.transaction(lambda tx: events.hear_answers(answers, tx, SETTINGS))

    async def sweep(self) -> None:
        """Time has passed: deadlines, and releases that were not acknowledged."""
        await self.db.transaction(lambda tx: sweeps.fail_overdue(tx, self._outbox, SETTINGS))
        await self.db.transaction(lambda tx: sweeps.release_again(tx, SETTINGS))

    def item(self, event: Event) -> Event:
        """What item answers to an order, or to being asked to give back; the same each time."""
        assert isinstance(event, OrderPlaced | ReleaseItem)
        order_id = event.order_id
        if isinstance(event, ReleaseItem):
            self._claims[order_id] = Claim.RELEASED
            return StockReleased(order_id=order_id)
        claim = Claim.HELD if self._in_stock[order_id] else Claim.REJECTED
        if self._claims.setdefault(order_id, claim) is Claim.HELD:
            return StockReserved(order_id=order_id, names={1: "Mug"})
        reason = "out_of_stock" if claim is Claim.REJECTED else "released"
        return StockRejected(order_id=order_id, reason=reason, details={})


def an_order(
    order_id: UUID, buyer_id: int, amount: int, pay_with: Any, payment_id: UUID | None = None
) -> PlaceOrder:
    """An order of one piece for so many won."""
    lines = [LineRequest(item_id=1, quantity=1, unit_price=amount)]
    return PlaceOrder(
        order_id=order_id, buyer_id=buyer_id, lines=lines, pay_with=pay_with, payment_id=payment_id
    )
