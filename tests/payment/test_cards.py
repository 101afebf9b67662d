"""Cards, against the simulated PG over HTTP: whatever it answers or does not, money and payments agree."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
import pytest

from order_svc.contracts import CancelOrder, GetPaymentDue, PaymentDue
from payment_svc import calls, cards, events, toss
from payment_svc.contracts import (
    GetPayment,
    Pay,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentView,
    RefundPayment,
    TakeNotice,
)
from payment_svc.settings import PaymentSettings
from pg_sim.app import create_app
from pg_sim.book import Charge
from pg_sim.cards import CARDS, Manner, new_key
from pg_sim.settings import SimulatorSettings
from shared.clock import utc_now
from shared.database import Database
from shared.errors import Conflict, NotFound, RuleBroken, Unauthorized
from shared.ids import new_id
from shared.rpc import Rpc
from shared.transaction import Transaction
from tests.support.databases import Heard
from tests.support.waiting import eventually

BUYER = 7
SIMULATOR = SimulatorSettings(pg_late_s=0.6, pg_hang_s=1.0)
NUMBERS = {manner: number for number, manner in CARDS.items()}


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
        self.cancelled.append(call.order_id)
        return None


class World:
    """The payment service between an order service that is told what to say and a PG of its own."""

    def __init__(
        self, db: Database, heard: Heard, simulator: httpx.AsyncClient, webhooks: list[httpx.Request]
    ) -> None:
        self.db, self.heard, self.simulator, self.webhooks = db, heard, simulator, webhooks
        self.orders = Orders()
        self.settings = PaymentSettings(pg_timeout_s=0.2, pg_ask_again_s=0.05)

    @property
    def rpc(self) -> Rpc:
        return cast(Rpc, self.orders)

    async def pay(
        self, order_id: UUID | None = None, manner: Manner | None = None, **changes: Any
    ) -> PaymentView:
        """Pay 49,800 for an order that is to be paid."""
        order_id = order_id or new_id()
        self.orders.due.setdefault(order_id, 49_800)
        fields: dict[str, Any] = {
            "payment_id": new_id(),
            "user_id": BUYER,
            "order_id": order_id,
            "method": "card",
            "payment_key": new_key(NUMBERS[manner]) if manner else None,
            "idempotency_key": str(new_id()),
            **changes,
        }
        return await calls.pay(Pay(**fields), self.db, self.rpc, self.settings)

    async def place(self, manner: Manner | None = None) -> UUID:
        """An order that pays with a card as part of being placed."""
        placed = events.OrderPlaced(
            order_id=new_id(),
            buyer_id=BUYER,
            total=49_800,
            pay_with="card",
            payment_key=new_key(NUMBERS[manner]) if manner else None,
            participants=["item", "payment"],
        )
        await self.within(lambda tx: events.capture([placed], tx, self.settings))
        return placed.order_id

    async def release(self, order_id: UUID) -> None:
        releases = [events.ReleasePayment(order_id=order_id)]
        await self.within(lambda tx: events.release(releases, tx))

    async def within(self, unit: Callable[[Transaction], Awaitable[Any]]) -> Any:
        return await self.db.transaction(unit)

    async def due_now(self) -> None:
        await self.within(lambda tx: tx.execute("UPDATE payments SET ask_due_at = %s", (tx.now,)))

    async def reconcile(self) -> None:
        await cards.reconcile(self.db, self.rpc, self.settings)

    async def state(self, order_id: UUID) -> str:
        sql = "SELECT state FROM payments WHERE order_id = %s ORDER BY attempt DESC"
        row = await self.db.read(lambda reader: reader.row(sql, (order_id,)))
        return row[0] if row else "none"

    async def until(self, order_id: UUID, state: str) -> None:
        """Let the jobs run until the order's payment stands so."""

        async def look() -> str:
            await self.reconcile()
            return await self.state(order_id)

        await eventually(look, holds=lambda seen: seen == state, within_s=20)

    async def charges(self) -> list[Charge]:
        """What the PG has in its book, where it knows the order number."""
        response = await self.simulator.get("/simulator/charges")
        return [one for one in msgspec.json.decode(response.content, type=list[Charge]) if one.order_id]

    async def charged(self) -> list[int]:
        return [one.total_amount for one in await self.charges() if one.status == "DONE"]


@pytest.fixture
async def world(db: Database, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    webhooks: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        webhooks.append(request)
        return httpx.Response(204)

    app = create_app(SIMULATOR, httpx.MockTransport(take))
    transport = httpx.ASGITransport(cast(Any, app))

    class Timed(httpx.AsyncBaseTransport):
        """Gives up after the client's read timeout, as a network would; what was asked goes on."""

        def __init__(self) -> None:
            self.asked: set[asyncio.Task[httpx.Response]] = set()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asking = asyncio.create_task(transport.handle_async_request(request))
            self.asked.add(asking)
            try:
                return await asyncio.wait_for(asyncio.shield(asking), request.extensions["timeout"]["read"])
            except TimeoutError:
                raise httpx.ReadTimeout("no answer", request=request) from None

    timed = Timed()
    async with httpx.AsyncClient(transport=transport, base_url="http://pg.test") as simulator:
        world = World(db, heard, simulator, webhooks)
        gateway = toss.Toss("http://pg.test", world.settings.pg_secret, timeout_s=0.2, tries=2)
        gateway._http = httpx.AsyncClient(
            transport=timed, base_url="http://pg.test", auth=("sagamart-pg", ""), timeout=0.2
        )
        monkeypatch.setattr(toss, "gateway", lambda _: gateway)
        yield world
        await asyncio.gather(*timed.asked, return_exceptions=True)


async def test_without_a_key_the_test_card_pays(world: World) -> None:
    paid = await world.pay()
    assert (paid.status, paid.amount, paid.method) == ("CAPTURED", 49_800, "card")
    assert [one.amount for one in world.heard.of(PaymentCaptured)] == [49_800]
    assert await world.charged() == [49_800]
    look = GetPayment(payment_id=paid.id, user_id=BUYER)
    assert await world.db.read(lambda reader: calls.get_payment(look, reader)) == paid
    other = GetPayment(payment_id=paid.id, user_id=BUYER + 1)
    with pytest.raises(NotFound):
        await world.db.read(lambda reader: calls.get_payment(other, reader))


async def test_a_declined_card_takes_nothing_and_another_may_be_tried(world: World) -> None:
    order_id = new_id()
    for _ in range(2):
        with pytest.raises(RuleBroken, match="REJECT_CARD_COMPANY"):
            await world.pay(
                order_id, Manner.DECLINE, idempotency_key="same", payment_key="pay_4000000000000002_1"
            )
    assert [one.reason for one in world.heard.of(PaymentDeclined)] == ["card_declined"]
    assert await world.charged() == []
    assert (await world.pay(order_id)).status == "CAPTURED"
    assert await world.charged() == [49_800]


async def test_of_payments_at_once_one_wins_and_the_others_are_refused(world: World) -> None:
    order_id = new_id()
    outcomes = await asyncio.gather(*(world.pay(order_id) for _ in range(6)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["Conflict"] * 5 + ["PaymentView"]
    assert await world.charged() == [49_800]
    assert len(world.heard.of(PaymentCaptured)) == 1


async def test_the_same_key_is_the_same_payment_and_for_another_wish_refused(world: World) -> None:
    order_id = new_id()
    outcomes = await asyncio.gather(*(world.pay(order_id, idempotency_key="once") for _ in range(4)))
    assert len({one.id for one in outcomes}) == 1
    assert len(await world.charged()) == 1
    with pytest.raises(RuleBroken):
        await world.pay(new_id(), idempotency_key="once")


async def test_a_request_that_its_twin_overtakes_is_answered_with_the_twins_payment(world: World) -> None:
    order_id, key = new_id(), "once"
    twin = asyncio.get_running_loop().create_future()

    class Slow(Orders):
        """Lets the twin pay before it says what is due, which then is nothing any more."""

        async def call(self, call: Any, **_: Any) -> Any:
            world.orders = quick
            twin.set_result(await world.pay(order_id, idempotency_key=key))
            raise Conflict("The order is paid already.")

    quick, world.orders = world.orders, Slow()
    answer = await world.pay(order_id, idempotency_key=key)
    assert answer == twin.result()
    assert await world.charged() == [49_800]
    world.orders.due.clear()
    with pytest.raises(Conflict):
        await calls.pay(
            Pay(
                payment_id=new_id(), user_id=BUYER, order_id=order_id, method="card", idempotency_key="other"
            ),
            world.db,
            world.rpc,
            world.settings,
        )


async def test_a_points_payment_has_no_card(world: World) -> None:
    with pytest.raises(RuleBroken):
        await world.pay(method="points", payment_key="pay_1")


@pytest.mark.parametrize("manner", [Manner.LOST, Manner.LATE])
async def test_a_charge_whose_answer_is_lost_or_late_is_found_and_made_once(
    world: World, manner: Manner
) -> None:
    order_id = new_id()
    assert (await world.pay(order_id, manner)).status == "ASKING"
    with pytest.raises(Conflict, match="under way"):
        await world.pay(order_id)
    await world.due_now()
    await world.until(order_id, "HELD")
    assert await world.charged() == [49_800]
    assert len(world.heard.of(PaymentCaptured)) == 1


async def test_a_card_that_is_never_answered_for_is_called_off(world: World) -> None:
    world.settings = msgspec.structs.replace(world.settings, pg_patience_s=0.3)
    order_id = new_id()
    assert (await world.pay(order_id, Manner.HANG)).status == "ASKING"
    await world.until(order_id, "REJECTED")
    assert [one.details["code"] for one in world.heard.of(PaymentDeclined)] == ["NO_ANSWER"]
    assert await world.charged() == []


async def test_a_card_as_part_of_the_order_is_asked_about_after_the_commit(world: World) -> None:
    yes, no = await world.place(), await world.place(Manner.DECLINE)
    assert world.heard.events == []
    await world.reconcile()
    assert [one.order_id for one in world.heard.of(PaymentCaptured)] == [yes]
    assert [one.order_id for one in world.heard.of(PaymentDeclined)] == [no]
    world.heard.events.clear()
    await world.release(yes)
    assert world.heard.events == []  # not before the PG has given it back
    await world.reconcile()
    await world.release(no)
    assert [one.order_id for one in world.heard.of(PaymentRefunded)] == [yes, no]
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [49_800, 0]
    assert await world.charged() == []
    await world.release(yes)
    assert len(world.heard.of(PaymentRefunded)) == 3


@pytest.mark.parametrize("manner", [Manner.HANG, Manner.LATE, Manner.LOST])
async def test_a_release_while_nothing_is_known_is_acknowledged_when_nothing_can_be_charged(
    world: World, manner: Manner
) -> None:
    order_id = await world.place(manner)
    asking = asyncio.create_task(world.reconcile())
    await asyncio.sleep(0.1)  # half of the time it asks for: the release must come while nothing is known
    await world.release(order_id)
    assert world.heard.of(PaymentRefunded) == []
    await world.until(order_id, "RELEASED")
    await asking
    await asyncio.sleep(SIMULATOR.pg_late_s)  # whatever was still under way has arrived by now
    assert await world.charged() == []
    assert len(world.heard.of(PaymentRefunded)) == 1
    assert world.heard.of(PaymentCaptured) == []


async def test_a_payment_that_its_order_does_not_take_goes_back(world: World) -> None:
    paid = await world.pay()
    rejected = events.ConfirmationRejected(payment_id=paid.id)
    for _ in range(2):
        await world.within(lambda tx: events.refund_rejected([rejected], tx))
        await world.reconcile()
    assert await world.charged() == []
    assert {one.payment_id for one in world.heard.of(PaymentRefunded)} == {paid.id}


async def test_an_admins_refund_cancels_the_order(world: World) -> None:
    paid = await world.pay()
    await calls.refund(RefundPayment(payment_id=paid.id), world.db, world.rpc)
    assert world.orders.cancelled == [paid.order_id]
    await world.release(paid.order_id)
    await world.reconcile()
    again = await calls.refund(RefundPayment(payment_id=paid.id), world.db, world.rpc)
    assert (again.status, len(world.orders.cancelled)) == ("REFUNDED", 1)
    with pytest.raises(NotFound):
        await calls.refund(RefundPayment(payment_id=new_id()), world.db, world.rpc)


async def test_who_asked_may_die_and_another_finds_out(world: World) -> None:
    """The row says ASKING and the PG was asked: the job that takes over looks first and charges once."""
    order_id = await world.place()
    async with asyncio.timeout(5):
        [payment] = await world.within(lambda tx: cards.payments.take_due(tx, lease_s=0, limit=5))
        await world.within(lambda tx: cards.payments.charging(tx, payment))
        await toss.gateway(world.settings).charge(cards._card(payment))
    await world.until(order_id, "HELD")
    assert await world.charged() == [49_800]


async def test_many_replicas_settle_each_payment_once(world: World) -> None:
    orders = [await world.place() for _ in range(12)]
    await asyncio.gather(*(world.reconcile() for _ in range(4)))
    captured = [one.order_id for one in world.heard.of(PaymentCaptured)]
    assert sorted(captured) == sorted(orders)
    assert len(await world.charged()) == 12


@pytest.mark.parametrize(
    ("manner", "times"),
    [(Manner.APPROVE, 1), (Manner.WEBHOOK_TWICE, 2), (Manner.WEBHOOK_LATE, 1), (Manner.WEBHOOK_NEVER, 0)],
)
async def test_webhooks_come_once_twice_late_or_never_and_are_all_taken(
    world: World, manner: Manner, times: int
) -> None:
    paid = await world.pay(manner=manner)
    assert paid.status == "CAPTURED"
    await asyncio.sleep(SIMULATOR.pg_late_s + 0.2)
    assert len(world.webhooks) == times
    for request in world.webhooks:
        notice = TakeNotice(
            payload=request.content.decode(),
            signature=request.headers["Tosspayments-Webhook-Signature"],
            transmitted_at=request.headers["Tosspayments-Webhook-Transmission-Time"],
        )
        assert toss.read_notice(notice.payload) == paid.id
        await _take(world, notice)
        await world.reconcile()
    assert await world.state(paid.order_id) == "HELD"
    assert world.orders.cancelled == []


def _notice(
    world: World, payment_id: UUID, status: str = "DONE", *, sent_at: str | None = None
) -> TakeNotice:
    data = {"paymentKey": "k", "orderId": str(payment_id), "status": status}
    payload = msgspec.json.encode({"eventType": "PAYMENT_STATUS_CHANGED", "data": data}).decode()
    sent_at = sent_at or utc_now().isoformat()
    signature = toss.sign(world.settings.pg_webhook_secret, payload, sent_at)
    return TakeNotice(payload=payload, signature=signature, transmitted_at=sent_at)


async def _take(world: World, notice: TakeNotice) -> None:
    await world.within(lambda tx: calls.take_notice(notice, tx, world.settings))


async def test_a_webhook_makes_us_ask_at_once_and_says_nothing_itself(world: World) -> None:
    order_id = await world.place(Manner.LATE)
    await world.reconcile()
    await asyncio.sleep(SIMULATOR.pg_late_s)
    row = await world.db.read(lambda reader: reader.row("SELECT payment_id FROM payments"))
    assert row is not None
    await _take(world, _notice(world, UUID(row[0]), "CANCELED"))  # not true: the PG says that it is charged
    await world.reconcile()
    assert await world.state(order_id) == "HELD"
    await _take(world, _notice(world, new_id()))


async def test_a_webhook_must_be_genuine_and_fresh(world: World) -> None:
    paid = await world.pay()
    good = _notice(world, paid.id)
    bad = [
        msgspec.structs.replace(good, payload=good.payload + " "),
        msgspec.structs.replace(good, signature="v1:AAAA"),
        msgspec.structs.replace(good, signature="v1:é"),
        msgspec.structs.replace(good, transmitted_at="soon"),
        _notice(world, paid.id, sent_at="2020-01-01T00:00:00+00:00"),
    ]
    for notice in bad:
        with pytest.raises(Unauthorized):
            await _take(world, notice)
    await _take(world, msgspec.structs.replace(good, signature=f"v1:AAAA,{good.signature}"))


async def test_a_charge_that_was_cancelled_at_the_pg_takes_its_order_with_it(world: World) -> None:
    paid = await world.pay()
    [charge] = await world.charges()
    gateway = toss.gateway(world.settings)
    await gateway.cancel(cards.Card(paid.id, charge.payment_key, paid.amount), "by hand")
    await _take(world, _notice(world, paid.id, "CANCELED"))
    await world.reconcile()
    assert world.orders.cancelled == [paid.order_id]
    await world.release(paid.order_id)
    await world.until(paid.order_id, "RELEASED")
