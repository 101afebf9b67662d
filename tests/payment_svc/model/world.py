"""The payment service's real handlers and database, between a PG, orders and a network of the test's own."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from order_svc import contracts as order_contracts
from order_svc import events as order_events
from payment_svc import calls, cards, contracts, events, paying
from payment_svc.contracts import Outcome
from payment_svc.domain import Payment, State
from payment_svc.settings import PaymentSettings
from payment_svc.store import payments
from shared.database.idempotency import Idempotency
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import Problem
from shared.messages import Event, View
from shared.rpc import Rpc
from tests.payment_svc.model import books
from tests.payment_svc.model.clock import Clock
from tests.payment_svc.model.gateway import Gateway, Trouble
from tests.payment_svc.model.orders import OrderSide
from tests.support.databases import Heard, empty

REPLICAS = 2
NO_KEY = Idempotency.without_key()
NOBODY_LOOKS_S = 500.0
"""The PG's list is read at least so often; it is read ten minutes back."""
NOBODY_WAITS = timedelta(seconds=5)
"""Who asks the PG gives up by then: its seconds for an answer, each try, and the pause between."""
ENOUGH_ROUNDS = 300

TO_PAYMENT: dict[type[Event], type[View]] = {
    order_contracts.OrderPlaced: events.OrderPlaced,
    order_contracts.ReleasePayment: events.ReleasePayment,
    order_contracts.ConfirmationRejected: events.ConfirmationRejected,
}
TO_ORDER: dict[str, type[View]] = {
    view.wire_name: view
    for view in (
        order_events.StockReserved,
        order_events.StockRejected,
        order_events.StockReleased,
        order_events.PaymentCaptured,
        order_events.PaymentDeclined,
        order_events.PaymentRefunded,
        order_events.PaymentKept,
        order_events.PaymentPartlyRefunded,
    )
}
TO_ITEM = (order_contracts.OrderPlaced, order_contracts.ReleaseItem)


class Letter(NamedTuple):
    """A message under way."""

    to: str
    event: Event


class Complaints:
    """Takes the place of a log: nothing may be logged as an error."""

    def __init__(self) -> None:
        self.errors: list[Any] = []

    def info(self, *_: Any, **__: Any) -> None:
        """Not kept."""

    def warning(self, *_: Any, **__: Any) -> None:
        """Not kept."""

    def error(self, *what: Any, **fields: Any) -> None:
        """Kept: no step may lead to one."""
        self.errors.append((what, fields))


class World:
    """Everything there is in one run of the model."""

    def __init__(self, payment_db: Database, order_db: Database, clock: Clock) -> None:
        self.db, self.clock = payment_db, clock
        self.settings = PaymentSettings()
        self.pg = Gateway(clock)
        self.orders = OrderSide(order_db)
        self.letters: list[Letter] = []
        self.notices: list[str] = []
        """What the PG has told of payments, to arrive at any time, again and again, or never."""
        self.paid_back: dict[UUID, int] = {}
        """What a person gave back by hand, since the PG would not."""
        self.complaints = Complaints()
        self.books = books.Books([], [], {})
        self._heard = Heard()
        self._tasks: list[set[asyncio.Task[Any]]] = [set() for _ in range(REPLICAS)]
        self._caught_up_at = clock.now
        self._entries_read = 0
        payment_db.publish_through(self._heard)

    @property
    def rpc(self) -> Rpc:
        """The payment service's way to the order service."""
        return cast(Rpc, self.orders)

    async def begin(self, points: dict[int, int]) -> None:
        """Empty both databases, and open accounts with so many points."""
        await empty(self.db)
        await empty(self.orders.db)
        for user_id, amount in points.items():
            await self.within(lambda tx, u=user_id: calls.open_account(contracts.OpenAccount(user_id=u), tx))
            if amount:
                await self.grant(UUID(int=user_id), user_id, amount)

    async def within(self, unit: Callable[[Transaction], Any]) -> Any:
        """Run a unit of work of the payment service."""
        return await self.db.transaction(unit)

    # The replicas ----------------------------------------------------------------------------------------

    async def run(self, replica: int, work: Coroutine[Any, Any, Any]) -> None:
        """Let a replica work at something until it is done, or refused, or hangs at the PG."""
        self._tasks[replica].add(asyncio.create_task(_refusable(work)))
        await self.quiet()

    async def ask(self, replica: int, troubles: Sequence[Trouble]) -> None:
        """A replica takes what is due and asks the PG about each; these troubles are spread over them."""
        due = await self.within(
            lambda tx: payments.take_due(tx, lease_s=self.settings.pg_lease_s, limit=200, first=100)
        )
        due.sort(key=lambda payment: payment.payment_id)
        for number, payment in enumerate(due):
            self.pg.befall(payment.payment_id, troubles[number :: len(due)])
            self._tasks[replica].add(asyncio.create_task(_refusable(self._settle(payment))))
        await self.quiet()

    async def reconcile(self) -> None:
        """Both replicas ask about all that is due, side by side, by their real job."""
        self.pg.may_hang = False
        await asyncio.gather(*(cards.reconcile(self.db, self.rpc, self.settings) for _ in range(REPLICAS)))
        self.pg.may_hang = True
        self.collect()

    async def crash(self, replica: int) -> None:
        """The process dies, whatever it waits for."""
        dying, self._tasks[replica] = self._tasks[replica], set()
        for task in dying:
            task.cancel()
        await asyncio.gather(*dying, return_exceptions=True)
        self.collect()

    async def quiet(self) -> None:
        """Wait until everything has been done that does not hang at the PG. Raises what no caller may see."""
        while running := self._running():
            self.pg.someone_hangs.clear()
            hang = asyncio.create_task(self.pg.someone_hangs.wait())
            await asyncio.wait({*running, hang}, return_when=asyncio.FIRST_COMPLETED)
            hang.cancel()
        for tasks in self._tasks:
            for task in [task for task in tasks if task.done()]:
                tasks.discard(task)
                if not task.cancelled():
                    task.result()
        self.collect()

    async def catch_up(self) -> None:
        """Read the PG's list."""
        self._caught_up_at, self._entries_read = self.clock.now, len(self.pg.entries)
        await cards.catch_up(self.db, self.settings)

    # The network -----------------------------------------------------------------------------------------

    async def deliver(self, arriving: Iterable[Letter], *, side_by_side: bool = True) -> None:
        """These letters arrive; what goes to the same handler arrives as a list."""
        lists: dict[tuple[str, type[Event]], list[Event]] = {}
        for letter in arriving:
            lists.setdefault((letter.to, type(letter.event)), []).append(letter.event)
        handling = [self._handle(to, kind, those) for (to, kind), those in lists.items()]
        if side_by_side:
            await asyncio.gather(*handling)
        else:
            for one in handling:
                await one
        self.collect()

    async def deliver_all(self) -> None:
        """All letters arrive, and those that they lead to."""
        while self.letters:
            arriving, self.letters = self.letters, []
            await self.deliver(arriving)

    def collect(self) -> None:
        """What the services have told meanwhile is under way now."""
        told = [*self._heard.events, *self.orders.heard.events]
        self._heard.events.clear()
        self.orders.heard.events.clear()
        self._post(told)
        assert not self.complaints.errors, self.complaints.errors

    def _post(self, told: Iterable[Event]) -> None:
        fresh: list[Letter] = []
        for event in told:
            if type(event) in TO_PAYMENT:
                fresh.append(Letter("payment", event))
            if isinstance(event, TO_ITEM):
                fresh.append(Letter("item", event))
            if type(event).wire_name in TO_ORDER:
                fresh.append(Letter("order", event))
        # Which of two tasks told first is not decided, and must not matter.
        self.letters += sorted(fresh, key=lambda letter: (letter.to, repr(letter.event)))

    async def _handle(self, to: str, kind: type[Event], arrived: list[Event]) -> None:
        if to == "item":
            self._post([self.orders.item(event) for event in arrived])
        elif to == "order":
            await self.orders.hear([_as(event, TO_ORDER[kind.wire_name]) for event in arrived])
        else:
            heard: list[Any] = [_as(event, TO_PAYMENT[kind]) for event in arrived]
            match heard[0]:
                case events.OrderPlaced():
                    await self.within(lambda tx: events.capture(heard, tx, self.settings))
                case events.ReleasePayment():
                    await self.within(lambda tx: events.release(heard, tx))
                case _:
                    await self.within(lambda tx: events.refund_rejected(heard, tx))

    # People ----------------------------------------------------------------------------------------------

    async def notice(self, body: str) -> None:
        """A notice of the PG arrives, or one that somebody made up."""
        await self.within(
            lambda tx: calls.take_notice(contracts.TakeNotice(headers={}, body=body), tx, self.settings)
        )

    async def grant(self, grant_id: UUID, user_id: int, delta: int) -> None:
        """An admin gives or takes points."""
        call = contracts.GrantPoints(grant_id=grant_id, user_id=user_id, delta=delta, reason="model", by=1)
        await _refusable(self.within(lambda tx: calls.grant_points(call, tx, self.settings)))

    async def pay(self, replica: int, call: contracts.Pay) -> None:
        """Pay for a completed order."""
        await self.run(replica, paying.pay(call, self.db, self.rpc, self.settings, NO_KEY))

    async def buy(self, replica: int, call: contracts.BuyPoints) -> None:
        """Buy points."""
        await self.run(replica, paying.buy_points(call, self.db, self.rpc, self.settings, NO_KEY))

    async def refund(self, replica: int, call: contracts.RefundPayment) -> None:
        """Refund a payment, whole or in part."""
        await self.run(replica, paying.refund(call, self.db, self.rpc, self.settings, NO_KEY))

    async def resolve(self, row: books.Row, wish: Outcome) -> None:
        """A person looks the payment up at the PG's own counter and closes it, as wished if that is true."""
        left = self.pg.left_of(row.payment_id) - self.paid_back.get(row.payment_id, 0)
        outcome: Outcome = wish
        if row.reason != "points_spent":
            if not self.pg.was_charged(row.payment_id):
                outcome = "not_charged"
            elif wish == "not_charged" or not left or left != row.left:
                outcome = "returned"
            if outcome == "returned" and row.state is State.NEEDS_ATTENTION:
                self.paid_back[row.payment_id] = self.paid_back.get(row.payment_id, 0) + left
        call = contracts.ResolvePayment(payment_id=row.payment_id, outcome=outcome, reason="model", by=1)
        await _refusable(calls.resolve(call, self.db, self.rpc))
        self.collect()

    # Time ------------------------------------------------------------------------------------------------

    async def pass_time(self, seconds: float) -> None:
        """Time passes, in which orders and the PG's list are looked at as often as they always are."""
        until = self.clock.now + timedelta(seconds=seconds)
        while self.clock.now < until:
            self.clock.move_to(min(until, self._caught_up_at + timedelta(seconds=NOBODY_LOOKS_S)))
            self.pg.give_up(NOBODY_WAITS)
            await self.quiet()
            if self.clock.now < until:
                await self.catch_up()
        await self.orders.sweep()
        self.collect()

    async def rest(self, late_by: timedelta) -> None:
        """Let everything happen that still would, until nothing is due but what waits for a person.

        Requests that nobody waits for any more arrive so much later than they were sent.
        """
        self.pg.calm_down()
        await self.quiet()
        for _ in range(ENOUGH_ROUNDS):
            await self.deliver_all()
            arrives_at = self.pg.arrive_after(late_by)
            if len(self.pg.entries) != self._entries_read:
                await self.catch_up()
            await self.look()
            ask_at, sweep_at = await self._next_due()
            due = min(filter(None, (ask_at, sweep_at, arrives_at)), default=None)
            if due is None:
                return
            self.clock.move_to(due)
            if ask_at is not None and ask_at <= self.clock.now:
                await self.reconcile()
            if sweep_at is not None and sweep_at <= self.clock.now:
                await self.orders.sweep()
                self.collect()
        raise AssertionError(f"no rest: {self.books.payments}")

    async def look(self) -> None:
        """Read the payment service's books, and hold them against what must always be so."""
        self.books = await books.read_payments(self.db)
        books.check_always(self.books, self.pg, self.paid_back)

    async def check_rest(self) -> None:
        """Hold all books against each other, at rest."""
        self.books = await books.read_payments(self.db)
        books.check_at_rest(self.books, await books.read_orders(self.orders.db), self.pg, self.paid_back)

    # Within ----------------------------------------------------------------------------------------------

    async def _settle(self, payment: Payment) -> None:
        await cards.settle(self.db, self.rpc, self.pg, payment, self.settings)

    async def _next_due(self) -> tuple[datetime | None, datetime | None]:
        """When the PG is to be asked next, by the books just read, and when orders are to be swept next."""
        undecided = {row.order_id for row in self.books.payments if row.state is State.NEEDS_ATTENTION}
        ask = [row.ask_due_at for row in self.books.payments if row.ask_due_at is not None]
        sweep: list[datetime] = []
        for order in await books.read_orders(self.orders.db):
            sweep += [order.deadline_at] if order.deadline_at is not None else []
            if order.release_due_at is not None and order.order_id not in undecided:
                sweep.append(order.release_due_at)
        return min(ask, default=None), min(sweep, default=None)

    def _running(self) -> set[asyncio.Task[Any]]:
        hanging = {parked.task for parked in self.pg.parked}
        return {task for tasks in self._tasks for task in tasks if not task.done() and task not in hanging}


async def _refusable(work: Coroutine[Any, Any, Any]) -> None:
    """Do something that a caller may be refused."""
    try:
        await work
    except Problem:
        return


def _as(event: Event, view: type[View]) -> View:
    """An event as another service reads it."""
    return msgspec.json.decode(msgspec.json.encode(event), type=view)
