"""The payment service between an order service that is told what to say and a gateway of the tests' own."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from order_svc.contracts import CancelOrder, GetPaymentDue, PaymentDue
from payment_svc import calls, cards, events, paying
from payment_svc.contracts import (
    BuyPoints,
    GetBalance,
    GrantPoints,
    OpenAccount,
    Pay,
    PaymentView,
    PointsBought,
    RefundPayment,
    ResolvePayment,
    TakeNotice,
)
from payment_svc.domain import Payment
from payment_svc.settings import PaymentSettings
from payment_svc.store.payments import find
from shared.database.idempotency import Idempotency
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import Conflict
from shared.ids import new_id
from shared.rpc import Rpc
from tests.payment_svc.fake_pg import FakePg
from tests.support.databases import Heard
from tests.support.waiting import eventually

BUYER, ADMIN = 7, 1
PRICE = 49_800
T = TypeVar("T")


class Orders:
    """Stands in for the order service: what is due, and which orders were cancelled."""

    def __init__(self) -> None:
        self.due: dict[UUID, int] = {}
        self.cancelled: list[UUID] = []

    async def call(self, call: Any, **_: Any) -> Any:
        if isinstance(call, GetPaymentDue):
            if call.order_id not in self.due:
                raise Conflict("The order is paid already.")
            return PaymentDue(amount=self.due[call.order_id])
        assert isinstance(call, CancelOrder)
        assert call.by == "admin"
        self.cancelled.append(call.order_id)
        return None


class World:
    """What tests do to the payment service, and what they look at."""

    def __init__(self, db: Database, heard: Heard, pg: FakePg) -> None:
        self.db, self.heard, self.pg = db, heard, pg
        self.orders = Orders()
        self.settings = PaymentSettings(pg_timeout_s=0.2, pg_ask_again_s=0.02)

    @property
    def rpc(self) -> Rpc:
        return cast(Rpc, self.orders)

    def set(self, **changes: Any) -> None:
        """Change settings."""
        self.settings = msgspec.structs.replace(self.settings, **changes)

    async def within(self, unit: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self.db.transaction(unit)

    async def open_account(self, user_id: int = BUYER, points: int = 0) -> None:
        """An account, with points that an admin gave."""
        await self.within(lambda tx: calls.open_account(OpenAccount(user_id=user_id), tx))
        if points:
            await self.grant(points, user_id=user_id)

    async def grant(self, delta: int, *, user_id: int = BUYER, grant_id: UUID | None = None) -> int:
        call = GrantPoints(
            grant_id=grant_id or new_id(), user_id=user_id, delta=delta, reason="a test", by=ADMIN
        )
        return (await self.within(lambda tx: calls.grant_points(call, tx, self.settings))).balance

    async def balance(self, user_id: int = BUYER) -> int:
        call = GetBalance(user_id=user_id)
        return (await self.db.read(lambda reader: calls.get_balance(call, reader))).balance

    async def pay(
        self,
        order_id: UUID | None = None,
        *,
        amount: int = PRICE,
        once: Idempotency | None = None,
        **changes: Any,
    ) -> PaymentView:
        """Pay for an order that is to be paid; by default with a card of its own."""
        order_id = order_id or new_id()
        self.orders.due.setdefault(order_id, amount)
        fields: dict[str, Any] = {
            "payment_id": new_id(),
            "user_id": BUYER,
            "order_id": order_id,
            "method": "card",
            **changes,
        }
        once = once or Idempotency.without_key()
        return await paying.pay(Pay(**fields), self.db, self.rpc, self.settings, once)

    async def buy(self, amount: int = 1_000, **changes: Any) -> PointsBought:
        fields: dict[str, Any] = {"payment_id": new_id(), "user_id": BUYER, "amount": amount, **changes}
        return await paying.buy_points(
            BuyPoints(**fields), self.db, self.rpc, self.settings, Idempotency.without_key()
        )

    async def refund(
        self, payment_id: UUID, amount: int | None = None, *, refund_id: UUID | None = None
    ) -> PaymentView:
        call = RefundPayment(refund_id=refund_id or new_id(), payment_id=payment_id, by=ADMIN, amount=amount)
        return await paying.refund(call, self.db, self.rpc, self.settings, Idempotency.without_key())

    async def resolve(self, payment_id: UUID, outcome: Any, reason: str = "a test") -> PaymentView:
        call = ResolvePayment(payment_id=payment_id, outcome=outcome, reason=reason, by=ADMIN)
        return await calls.resolve(call, self.db, self.rpc)

    def placed(self, total: int = PRICE, **changes: Any) -> events.OrderPlaced:
        """An order that is paid with a card as part of being placed."""
        fields: dict[str, Any] = {
            "order_id": new_id(),
            "buyer_id": BUYER,
            "total": total,
            "pay_with": "card",
            "payment_id": None,
            "participants": ["item", "payment"],
            **changes,
        }
        return events.OrderPlaced(**fields)

    async def place(self, *orders: events.OrderPlaced) -> UUID:
        """Hear of these orders in one list (or of one); returns the first one's id."""
        heard = list(orders) or [self.placed()]
        await self.within(lambda tx: events.capture(heard, tx, self.settings))
        return heard[0].order_id

    async def release(self, *order_ids: UUID) -> None:
        releases = [events.ReleasePayment(order_id=order_id) for order_id in order_ids]
        await self.within(lambda tx: events.release(releases, tx))

    async def notice(self, payment_id: object, **changes: Any) -> None:
        """The gateway says how a payment stands; with `changes`, somebody else says something else."""
        unheard = {"orderId": str(payment_id), "status": "DONE"}
        data = {**self.pg.payments.get(str(payment_id), unheard), **changes}
        body = msgspec.json.encode({"eventType": "PAYMENT_STATUS_CHANGED", "data": data}).decode()
        await self.take(TakeNotice(headers={}, body=body))

    async def take(self, notice: TakeNotice) -> None:
        await self.within(lambda tx: calls.take_notice(notice, tx, self.settings))

    async def reconcile(self) -> None:
        await cards.reconcile(self.db, self.rpc, self.settings)

    async def catch_up(self) -> None:
        await cards.catch_up(self.db, self.settings)

    async def sql(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return await self.db.read(lambda reader: reader.rows(sql, args))

    async def execute(self, sql: str, *args: Any) -> int:
        return await self.db.execute(sql, args)

    async def later(self, seconds: float, *payment_ids: UUID) -> None:
        """Let time pass: all times here and at the gateway (or those of some payments) lie further back."""
        span = timedelta(seconds=seconds).total_seconds()
        times = ("asked_at", "looked_at", "ask_due_at", "created_at", "changed_at")
        moved = ", ".join(f"{name} = {name} - INTERVAL %s SECOND" for name in times)
        only = " WHERE payment_id IN %s" if payment_ids else ""
        args = [span] * len(times) + ([list(payment_ids)] if payment_ids else [])
        await self.execute(f"UPDATE payments SET {moved}{only}", *args)
        if not payment_ids:
            await self.execute("UPDATE notice_pace SET next_at = next_at - INTERVAL %s SECOND", span)
            self.pg.later(span)

    async def payment(self, payment_id: UUID) -> Payment:
        found = await self.db.read(lambda reader: find(reader, payment_id))
        assert found is not None
        return found

    async def of(self, order_id: UUID) -> Payment:
        """The latest payment of an order."""
        [(payment_id,), *_] = await self.sql(
            "SELECT payment_id FROM payments WHERE order_id = %s ORDER BY attempt DESC", order_id
        )
        return await self.payment(UUID(payment_id))

    async def until(self, payment_id: UUID, state: str) -> Payment:
        """Let the job run, and its pauses pass, until a payment stands so."""

        async def look() -> Payment:
            await self.reconcile()
            payment = await self.payment(payment_id)
            if payment.ask_due_at is not None and payment.state != state:
                await self.execute(
                    "UPDATE payments SET ask_due_at = UTC_TIMESTAMP(6) WHERE payment_id = %s", payment_id
                )
            return payment

        return await eventually(look, holds=lambda seen: seen.state == state, within_s=10)

    async def books_agree(self) -> None:
        """Every balance is the sum of its ledger, payments hold what the ledger and the gateway say."""
        for user_id, balance, total, last in await self.sql(
            "SELECT a.user_id, a.balance, SUM(l.delta),"
            " (SELECT balance FROM ledger n WHERE n.user_id = a.user_id ORDER BY id DESC LIMIT 1)"
            " FROM accounts a LEFT JOIN ledger l ON l.user_id = a.user_id WHERE a.state = 'OPEN'"
            " GROUP BY a.user_id, a.balance"
        ):
            assert balance == total == last, user_id
        assert (
            await self.sql(
                "SELECT p.payment_id FROM payments p LEFT JOIN ledger l ON l.payment_id = p.payment_id"
                " WHERE p.method = 'points' GROUP BY p.payment_id, p.state, p.amount, p.refunded"
                " HAVING COALESCE(SUM(l.delta), 0) <> IF(p.state = 'HELD', p.refunded - p.amount, 0)"
            )
            == []
        )
        held = await self.sql(
            "SELECT payment_id, amount - refunded FROM payments WHERE method = 'card' AND amount > refunded"
            " AND card_key IS NOT NULL AND state IN ('HELD', 'KEPT')"
        )
        assert self.pg.held() == {payment_id: int(left) for payment_id, left in held}


async def at_once(*work: Awaitable[Any]) -> list[str]:
    """Run these at once; returns what came of each: its type's name, sorted."""
    return sorted(type(one).__name__ for one in await asyncio.gather(*work, return_exceptions=True))
