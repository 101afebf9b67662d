"""Orders that are paid with points: taken in the order given, given back once, whatever comes again."""

import asyncio
from uuid import UUID

import pytest

from payment_svc import events
from payment_svc.contracts import (
    PaymentCaptured,
    PaymentDeclined,
    PaymentPartlyRefunded,
    PaymentRefunded,
)
from payment_svc.events import OrderPlaced
from shared.ids import new_id
from tests.payment_svc.world import World
from tests.support.held import blames_the_row
from tests.support.participant import Participant, TakesPart


def _order(world: World, user_id: int, total: int) -> OrderPlaced:
    return world.placed(total, buyer_id=user_id, pay_with="points")


class PointsSide(Participant):
    """Payment, of which each good order takes one point; the bad one is of a buyer without any."""

    accepted, rejected, released = PaymentCaptured, PaymentDeclined, PaymentRefunded

    def __init__(self, world: World) -> None:
        super().__init__(world.db, world.heard)
        self.world = world

    async def good(self) -> OrderPlaced:
        return _order(self.world, 7, 1)

    async def bad(self) -> OrderPlaced:
        return _order(self.world, 8, 1)

    async def supply(self) -> None:
        await self.world.grant(10, user_id=8)

    def elsewhere(self) -> OrderPlaced:
        return self.world.placed(60, participants=["item"], pay_with=None)

    async def place(self, *orders: OrderPlaced) -> None:
        await self.world.place(*orders)

    async def release(self, *order_ids: UUID) -> None:
        await self.world.release(*order_ids)

    async def taken(self) -> int:
        return 50 - await self.world.balance(7)

    async def books_balance(self) -> None:
        await self.world.books_agree()


class TestPaymentTakesPart(TakesPart):
    @pytest.fixture
    async def side(self, world: World) -> PointsSide:
        await world.open_account(7, 50)
        await world.open_account(8)
        return PointsSide(world)


async def test_a_list_of_orders_is_paid_as_far_as_the_points_go(world: World) -> None:
    await world.open_account(7, 100)
    await world.open_account(8, 100)
    orders = [_order(world, *order) for order in ((7, 60), (8, 100), (7, 60), (7, 40), (9, 1))]
    await world.place(*orders)
    assert [e.order_id for e in world.heard.of(PaymentCaptured)] == [orders[i].order_id for i in (0, 1, 3)]
    assert [(e.order_id, e.reason, e.details) for e in world.heard.of(PaymentDeclined)] == [
        (orders[2].order_id, "insufficient_points", {"asked": 60, "balance": 40}),
        (orders[4].order_id, "insufficient_points", {"asked": 1, "balance": 0}),
    ]
    assert (await world.balance(7), await world.balance(8)) == (0, 0)
    await world.books_agree()


async def test_an_amount_beyond_every_account_is_declined(world: World) -> None:
    await world.open_account(7, 100)
    await world.place(_order(world, 7, 2 * 10**21))
    assert world.heard.of(PaymentDeclined)[0].details == {"asked": 2 * 10**21, "balance": 100}


async def test_a_release_gives_back_once(world: World) -> None:
    await world.open_account(7, 100)
    held, rejected = _order(world, 7, 60), _order(world, 7, 60)
    await world.place(held, rejected)
    payments = {e.order_id: e.payment_id for e in world.heard.events}  # type: ignore[attr-defined]
    world.heard.events.clear()
    for _ in range(2):
        await world.release(held.order_id, rejected.order_id, held.order_id)
    told = world.heard.of(PaymentRefunded)
    assert {e.order_id: e.payment_id for e in told} == payments
    assert [e.amount for e in told if e.order_id == held.order_id] == [60, 60]
    assert [e.amount for e in told if e.order_id == rejected.order_id] == [0, 0]
    assert len(world.heard.events) == 4
    assert await world.balance() == 100
    await world.books_agree()
    world.heard.events.clear()
    await world.place(held, rejected)
    reasons = {e.order_id: e.reason for e in world.heard.of(PaymentDeclined)}
    assert reasons == {held.order_id: "released", rejected.order_id: "insufficient_points"}
    assert await world.balance() == 100


async def test_an_order_released_before_it_was_heard_of_is_never_paid(world: World) -> None:
    await world.open_account(7, 100)
    order = _order(world, 7, 60)
    await world.release(order.order_id)
    await world.release(order.order_id)
    first, second = world.heard.of(PaymentRefunded)
    assert first == second
    await world.place(order)
    late = world.heard.of(PaymentDeclined)
    assert [(e.payment_id, e.reason) for e in late] == [(first.payment_id, "released")]
    assert await world.balance() == 100


async def test_a_part_goes_back_at_once_and_a_release_gives_back_the_rest(world: World) -> None:
    await world.open_account(7, 100)
    order_id = await world.place(_order(world, 7, 60))
    payment = await world.of(order_id)
    first = new_id()
    for _ in range(2):  # the same refund once, also when another has come between
        assert (await world.refund(payment.payment_id, 10, refund_id=first)).refunded >= 10
        await world.refund(payment.payment_id, 5, refund_id=payment.payment_id)
    assert await world.balance() == 55
    assert world.orders.cancelled == []
    told = world.heard.of(PaymentPartlyRefunded)
    assert [(e.amount, e.refunded) for e in told] == [(10, 10), (5, 15)]
    await world.release(order_id)
    await world.release(order_id)
    assert {(e.amount, e.order_id) for e in world.heard.of(PaymentRefunded)} == {(45, order_id)}
    assert await world.balance() == 100
    assert await world.sql("SELECT delta FROM ledger WHERE kind = 'refund' ORDER BY id") == [
        (10,),
        (5,),
        (45,),
    ]
    await world.books_agree()


async def test_parts_at_once_never_give_back_more_than_was_paid(world: World) -> None:
    await world.open_account(7, 100)
    payment = await world.of(await world.place(_order(world, 7, 60)))
    outcomes = await asyncio.gather(
        *(world.refund(payment.payment_id, 25) for _ in range(5)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["PaymentView"] * 2 + ["RuleBroken"] * 3
    assert await world.balance() == 90
    await world.books_agree()


async def test_points_survive_everything_at_once(world: World) -> None:
    users = range(1, 6)
    for user_id in users:
        await world.open_account(user_id, 100)
    orders = [_order(world, 1 + number % 5, 30) for number in range(60)]
    lists = [orders[start : start + 20] for start in range(0, 60, 10)]
    gifts = {user_id: new_id() for user_id in users}
    work = [
        *(world.place(*some) for some in lists),
        *(world.place(*reversed(some)) for some in lists),
        *(world.release(*(order.order_id for order in some[::3])) for some in lists),
        *(world.grant(7, user_id=user_id, grant_id=gifts[user_id]) for user_id in users for _ in range(3)),
    ]
    await asyncio.gather(*work)
    await world.books_agree()
    states = dict(await world.sql("SELECT state, COUNT(*) FROM payments GROUP BY state"))
    assert sum(states.values()) == 60
    released = {order.order_id for some in lists for order in some[::3]}
    assert states["RELEASED"] == len(released)
    captured = {event.order_id for event in world.heard.of(PaymentCaptured)}
    assert states["HELD"] == len(captured - released)
    assert {event.order_id for event in world.heard.of(PaymentRefunded)} == released


async def test_a_list_that_waits_for_a_row_finds_the_order_that_is_to_blame(world: World) -> None:
    for buyer in (1, 2, 3):
        await world.open_account(buyer, 1_000)

    placing, paid, repaid = (_order(world, buyer, 100) for buyer in (1, 2, 3))
    await world.within(lambda tx: events.capture([paid, repaid], tx, world.settings))
    captured = {one.order_id: one for one in world.heard.of(PaymentCaptured)}[repaid.order_id]
    release = events.ReleasePayment(order_id=paid.order_id)
    rejected = events.ConfirmationRejected(payment_id=captured.payment_id)
    await asyncio.gather(
        blames_the_row(
            world.db,
            lambda tx: events.capture([placing], tx, world.settings),
            events.rows_of_order(placing),
            "accounts",
            "user_id = 1",
        ),
        blames_the_row(
            world.db,
            lambda tx: events.release([release], tx),
            events.rows_of_release(release),
            "payments",
            f"order_id = '{paid.order_id}'",
        ),
        blames_the_row(
            world.db,
            lambda tx: events.refund_rejected([rejected], tx),
            events.rows_of_rejected(rejected),
            "accounts",
            "user_id = 3",
        ),
    )
    assert [await world.balance(buyer) for buyer in (1, 2, 3)] == [1_000, 900, 900]
