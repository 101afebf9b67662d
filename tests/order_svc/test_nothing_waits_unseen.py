"""Whatever happens to orders, in whatever order: each that waits is due at some time, and comes to rest."""

import contextlib
import importlib
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from order_svc import calls, events, saga, sweeps
from order_svc.contracts import CancelOrder, OrderView
from order_svc.models import Order, Participant
from order_svc.settings import OrderSettings
from shared.clock import utc_now
from shared.database.units import Database
from shared.errors import Conflict
from shared.events.outbox import Outbox
from shared.ids import new_id
from tests.order_svc.acts import a_couponed_order, an_order, hear, later, look, place, reserved
from tests.support.databases import Heard

_WAITING_IS_DUE = importlib.import_module("order_svc.migrations.0007_waiting_is_due")
# The column was called so when that migration ran.
MEND: list[str] = [statement.replace("`stand`", "`state`") for statement in _WAITING_IS_DUE.MEND]
SETTINGS = OrderSettings(order_deadline_s=30, order_release_again_s=10, order_unpaid_s=200)

UNSEEN = """
SELECT o.id, o.status, o.reason FROM orders o
 WHERE o.deadline_at IS NULL AND (o.status = 'PENDING' OR o.status = 'COMPLETED' AND o.paid = 0
    OR o.status = 'FAIL' AND o.settled = 0 AND NOT EXISTS
       (SELECT 1 FROM participants p WHERE p.order_id = o.id AND p.release_due_at IS NOT NULL))
UNION ALL
SELECT o.id, p.name, p.state FROM orders o JOIN participants p ON p.order_id = o.id
 WHERE p.state = 'RELEASING' AND p.release_due_at IS NULL OR p.state = 'AWAITING' AND o.deadline_at IS NULL
"""
NEEDLESS = """
SELECT o.id, o.status, o.reason FROM orders o WHERE o.deadline_at IS NOT NULL AND
  (o.status = 'CANCEL' OR o.status = 'COMPLETED' AND o.paid = 1 OR o.status = 'FAIL' AND o.settled = 1)
UNION ALL
SELECT order_id, name, state FROM participants WHERE state <> 'RELEASING' AND release_due_at IS NOT NULL
"""
"""What is due and waits for nothing would be found again and again."""


async def _found(db: Database, sql: str) -> list[tuple[Any, ...]]:
    return await db.read(lambda reader: reader.rows(sql))


class World:
    """Orders, and all that can happen to them; `now` is how many seconds have passed."""

    def __init__(self, db: Database, outbox: Outbox, dice: random.Random) -> None:
        self.db, self.outbox, self.dice = db, outbox, dice
        self.now = 0.0
        self.orders: list[UUID] = []

    def payment_of(self, order_id: UUID) -> UUID:
        """The payment of an order; now and then another one."""
        return UUID(int=order_id.int ^ 1) if self.dice.random() < 0.9 else new_id()

    def answer(self, order_id: UUID) -> Any:
        """Anything that a participant may say about an order, fitting or not."""
        payment_id = self.payment_of(order_id)
        about: dict[str, Any] = {"order_id": order_id}
        no: dict[str, Any] = {"reason": "refused", "details": {}}
        return self.dice.choice(
            [
                *[reserved(order_id)] * 3,
                *[events.CouponApplied(**about)] * 3,
                *[events.PaymentCaptured(**about, payment_id=payment_id)] * 3,
                events.StockRejected(**about, **no),
                events.CouponRejected(**about, **no),
                events.PaymentDeclined(**about, **no, payment_id=payment_id),
                events.StockReleased(**about),
                events.CouponReleased(**about),
                events.PaymentRefunded(**about, payment_id=payment_id),
                events.PaymentKept(**about, payment_id=payment_id, amount=1, note="-"),
                events.PaymentPartlyRefunded(**about, payment_id=payment_id, amount=1, refunded=1),
            ]
        )

    async def happens(self) -> None:
        """One thing, by chance."""
        act = self.dice.choice([self.placed, *[self.heard] * 5, self.cancelled, *[self.time_passes] * 2])
        await act()

    async def placed(self) -> None:
        """A buyer orders."""
        make = self.dice.choice([an_order, a_couponed_order])
        order = await later(
            self.db,
            self.now,
            lambda tx: calls.place_orders(
                [make(pay_with=self.dice.choice([None, "points", "card"]))], tx, SETTINGS
            ),
        )
        self.orders += [one.id for one in order if isinstance(one, OrderView)]

    async def heard(self) -> None:
        """Some answers come in one list."""
        if self.orders:
            some: Sequence[Any] = [
                self.answer(self.dice.choice(self.orders[-8:])) for _ in range(self.dice.randint(1, 6))
            ]
            await later(self.db, self.now, lambda tx: events.hear_answers(list(some), tx, SETTINGS))

    async def cancelled(self) -> None:
        """Somebody cancels, perhaps again."""
        if not self.orders:
            return
        call = CancelOrder(order_id=self.dice.choice(self.orders[-8:]), by="buyer")
        with contextlib.suppress(Conflict):
            await later(self.db, self.now, lambda tx: calls.cancel_order(call, tx, SETTINGS))

    async def time_passes(self) -> None:
        """Some seconds, with the broker there, away, or just back."""
        self.now += self.dice.choice([1, 5, 20, 35, 120])
        since = self.dice.choice([None, self.now, self.now - 10, self.now - 3600])
        self.outbox.connected_since = None if since is None else utc_now() + timedelta(seconds=since)
        await self.sweep()

    async def sweep(self) -> None:
        """The jobs run."""
        await later(self.db, self.now, lambda tx: sweeps.fail_overdue(tx, self.outbox, SETTINGS))
        await later(self.db, self.now, lambda tx: sweeps.release_again(tx, SETTINGS))
        await later(self.db, self.now, lambda tx: sweeps.end_waiting_for_ever(tx, SETTINGS))

    async def comes_to_an_end(self) -> None:
        """From now on whoever is asked to give back does so, and nobody else says a word."""
        self.outbox.connected_since = utc_now() - timedelta(hours=1)
        for _ in range(4):
            self.now += 1000
            await self.sweep()
            for order_id in self.orders:
                order = await look(self.db, order_id)
                back = {
                    "item": events.StockReleased(order_id=order_id),
                    "coupon": events.CouponReleased(order_id=order_id),
                    "payment": events.PaymentRefunded(
                        order_id=order_id, payment_id=await self.paid_by(order_id)
                    ),
                }
                said = [back[one.name] for one in order.participants if one.state == "RELEASING"]
                if said:
                    await hear(self.db, *said)

    async def paid_by(self, order_id: UUID) -> UUID:
        """The payment that the order took."""
        rows = await self.db.read(
            lambda reader: reader.rows(
                "SELECT payment_id FROM participants WHERE order_id = %s AND payment_id IS NOT NULL",
                [order_id],
            )
        )
        return UUID(rows[0][0]) if rows else UUID(int=order_id.int ^ 1)


@pytest.mark.parametrize("seed", range(3))
async def test_every_order_that_waits_is_due_and_comes_to_rest(
    db: Database, heard: Heard, outbox: Outbox, seed: int
) -> None:
    world = World(db, outbox, random.Random(seed))  # noqa: S311  no secret
    for _ in range(250):
        await world.happens()
        assert await _found(db, UNSEEN) == []
        assert await _found(db, NEEDLESS) == []
    await world.comes_to_an_end()
    ends = [await look(db, order_id) for order_id in world.orders]
    assert [one for one in ends if not one.settled] == []
    assert [one for one in ends if one.status == "COMPLETED" and not one.paid] == []
    assert {one.status for one in ends} == {"COMPLETED", "FAIL", "CANCEL"}
    assert saga.PAYMENT_KEPT in {one.reason for one in ends}
    assert await _found(db, NEEDLESS) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE orders SET deadline_at = NULL WHERE status = 'PENDING'",
        "UPDATE participants SET state = 'RELEASING'",
    ],
)
async def test_the_tables_refuse_what_waits_without_a_time(db: Database, damage: str) -> None:
    await place(db, an_order())
    with pytest.raises(Exception, match=r"(?i)constraint.*is_due"):
        await db.execute(damage)


async def test_the_migration_gives_a_time_to_all_that_waits_without(db: Database, outbox: Outbox) -> None:
    """Rows as they were when nothing refused them."""
    checks = [(one._meta.db_table, check) for one in (Order, Participant) for check in one._meta.constraints]
    for table, check in checks:
        await db.execute(f"ALTER TABLE {table} DROP CONSTRAINT {check.name}")
    orders = [await place(db, a_couponed_order(pay_with="points")) for _ in range(5)]
    ids = [order.id for order in orders]
    for number, (status, state) in enumerate(
        [("PENDING", "AWAITING"), ("FAIL", "AWAITING"), ("FAIL", "RELEASING"), ("COMPLETED", "YES")]
    ):
        await db.execute("UPDATE orders SET status = %s WHERE id = %s", [status, ids[number]])
        await db.execute("UPDATE participants SET state = %s WHERE order_id = %s", [state, ids[number]])
    await db.execute("UPDATE orders SET status = 'FAIL', settled = 1 WHERE id = %s", [ids[4]])
    await db.execute("UPDATE participants SET state = 'NO' WHERE order_id = %s", [ids[4]])
    await db.execute("UPDATE orders SET deadline_at = NULL")
    assert {row[0] for row in await _found(db, UNSEEN)} == {str(one) for one in ids[:4]}
    for _ in range(2):
        for statement in MEND:
            await db.execute(statement)
        assert await _found(db, UNSEEN) == []
        assert await _found(db, NEEDLESS) == []
    for table, check in checks:
        await db.execute(f"ALTER TABLE {table} ADD CONSTRAINT {check.name} CHECK ({check.check})")
    await later(db, 40, lambda tx: sweeps.fail_overdue(tx, outbox, SETTINGS))
    assert [(await look(db, one)).reason for one in ids] == ["timeout", None, None, None, None]
