"""Hypothesis looks for a run of steps after which money does not come to its end, or is not where books say.

Orders are placed, fail, are cancelled, paid later and expire; points are bought and spent; the PG approves,
declines, hangs, loses requests and answers, cancels by itself and refuses to; notices come or do not; people
refund and resolve; processes die between any two steps. What must hold stands in `books.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from order_svc.contracts import CancelOrder
from payment_svc import calls, paying
from payment_svc.contracts import BringKey, BuyPoints, MakeIntent, Outcome, Pay, RefundPayment
from payment_svc.domain import State
from shared.errors import Problem
from tests.payment_svc.model.books import Row
from tests.payment_svc.model.conftest import Worlds
from tests.payment_svc.model.gateway import Trouble
from tests.payment_svc.model.numbers import Numbers
from tests.payment_svc.model.orders import an_order
from tests.payment_svc.model.world import REPLICAS, World

STEPS = 2_000
IN_A_RUN = 40
ENOUGH_ORDERS = 8
USERS = {1: 0, 2: 9_000, 3: 40_000}
"""Who there is, with the points of each."""

FATES = (
    Trouble.NONE,
    Trouble.NONE,
    Trouble.LATE,
    Trouble.LATE,
    Trouble.ANSWER_LOST,
    Trouble.UNREACHABLE,
    Trouble.DIES_AFTER,
)
"""What may befall the first question about a payment."""

Call = Pay | BuyPoints | RefundPayment

amounts = st.sampled_from((1, 700, 5_000, 9_900))
users = st.sampled_from(sorted(USERS))
which = st.integers(0, 11)
replicas = st.integers(0, REPLICAS - 1)
troubles = st.lists(st.sampled_from(Trouble), max_size=4)
stock = st.sampled_from((True, True, False))
waits = st.sampled_from((0.0, 0.0, 3.0, 30.0, 70.0))
one_trouble = st.lists(st.sampled_from(Trouble), max_size=2)
keys = st.sampled_from(
    ("none", "own", "number", "for another amount", "number again", "key again", "made up")
)

_possible: dict[str, Any] = {}
"""What can happen, by its method, with what is drawn for it; each is as likely as any other."""

Method = TypeVar("Method", bound=Callable[..., None])


def possible(often: int = 1, **drawn: Any) -> Callable[[Method], Method]:
    """Marks what may happen in a step: `often` times as often as others.

    Not a rule for each, of which hypothesis would leave out half in each run: it takes many kinds of steps
    together to get into trouble.
    """

    def mark(method: Method) -> Method:
        for number in range(often):
            name = method.__name__
            _possible[f"{name} {number}"] = st.tuples(st.just(name), st.fixed_dictionaries(drawn))
        return method

    return mark


class Payments(RuleBasedStateMachine):
    """A shop with two replicas of its payment service."""

    def __init__(self, worlds: Worlds, loop: asyncio.AbstractEventLoop, reached: Counter[str]) -> None:
        super().__init__()
        self.world: World = worlds()
        self.loop, self.reached = loop, reached
        self.numbers = Numbers(1_000_000)
        self.moments = 0
        self.late_by = timedelta(0)
        self.placed: list[UUID] = []
        self.buyers: dict[UUID, int] = {}
        self.brought: list[tuple[UUID, str]] = []
        """Numbers and keys that somebody has brought."""
        self.calls: list[Call] = []

    def do(self, work: Any) -> Any:
        """Run something to its end on the databases' loop."""
        return self.loop.run_until_complete(work)

    def step(self, name: str, work: Any) -> None:
        """One step of the run."""
        self.reached["steps"] += 1
        self.reached[name] += 1
        self.do(work)

    def go_on(self) -> None:
        """There is nothing that this step could be about: the shop goes on instead, and all goes well."""
        self.step("went on", self.something_goes_on())

    async def something_goes_on(self) -> None:
        """An order comes, half of the letters arrive, or both replicas do their job."""
        self.moments += 1
        match self.moments % 3:
            case 0 if len(self.placed) < ENOUGH_ORDERS:
                await self.place_order(3, 700, "card", "none", declines=False, in_stock=True)
            case 1 if self.world.letters:
                arriving, self.world.letters = self.world.letters[::2], self.world.letters[1::2]
                await self.world.deliver(arriving, side_by_side=False)
            case _:
                await self.world.pass_time(1.0)
                await self.world.reconcile()

    @initialize(
        orders=st.lists(
            st.tuples(users, amounts, st.sampled_from(("card", "card", "points", None)), stock), max_size=5
        ),
        purchases=st.lists(st.tuples(users, amounts), max_size=2),
        is_settled=st.sampled_from((True, True, False)),
        fates=st.lists(st.sampled_from(FATES), max_size=5),
        late_by_s=st.sampled_from((0, 90, 590)),
    )
    def begin(
        self,
        orders: list[Any],
        purchases: list[Any],
        is_settled: bool,
        fates: list[Trouble],
        late_by_s: float,
    ) -> None:
        """A shop with some orders and purchases, which have come to their end or not."""
        self.world.pg.fates = fates
        self.late_by = timedelta(seconds=late_by_s)
        self.do(self.world.begin(USERS))
        for user, amount, pay_with, in_stock in orders:
            self.do(self.place_order(user, amount, pay_with, "none", declines=False, in_stock=in_stock))
        for user, amount in purchases:
            self.do(self.buy(user, amount, 0, "none", declines=False, befalls=[]))
        if is_settled:
            self.do(self.world.deliver_all())
            self.do(self.world.reconcile())
            self.do(self.world.deliver_all())

    # Buyers ----------------------------------------------------------------------------------------------

    @possible(
        user=users,
        amount=amounts,
        pay_with=st.sampled_from(("card", "card", "card", "points", None)),
        key=keys,
        declines=st.booleans(),
        in_stock=stock,
        at_once=st.booleans(),
    )
    def place(
        self, user: int, amount: int, pay_with: Any, key: str, declines: bool, in_stock: bool, at_once: bool
    ) -> None:
        """Somebody places an order, with a card whose key he brought before or not."""
        work = self.place_order(user, amount, pay_with, key, declines=declines, in_stock=in_stock)
        self.step("order placed", work)
        if at_once:
            self.do(self.world.deliver_all())

    async def place_order(
        self, user: int, amount: int, pay_with: Any, key: str, *, declines: bool, in_stock: bool
    ) -> None:
        """Bring a key, perhaps, and place an order."""
        order_id, payment_id = self.numbers.new(), None
        if pay_with == "card" and key != "none":
            payment_id, card_key, is_new = await self.bring(user, amount, None, key, declines)
            call = BringKey(payment_id=payment_id, user_id=user, payment_key=card_key, is_new=is_new)
            await self.world.within(lambda tx: calls.bring_key(call, tx, self.world.settings))
        order = an_order(order_id, user, amount, pay_with, payment_id)
        await self.world.orders.place(order, in_stock=in_stock)
        self.placed.append(order_id)
        self.buyers[order_id] = user
        self.world.collect()

    @possible(
        n=which,
        replica=replicas,
        method=st.sampled_from(("card", "card", "points")),
        key=keys,
        declines=st.booleans(),
        befalls=one_trouble,
        order_call=st.sampled_from((Trouble.NONE, Trouble.NONE, *Trouble)),
    )
    def pay_later(
        self,
        n: int,
        replica: int,
        method: Any,
        key: str,
        declines: bool,
        befalls: list[Trouble],
        order_call: Trouble,
    ) -> None:
        """Somebody pays for an order that is completed by then, or not."""
        if not self.placed:
            self.go_on()
            return
        order_id = self.placed[n % len(self.placed)]
        user = self.buyers[order_id]

        async def pay() -> None:
            payment_id, card_key, has_intent = self.numbers.new(), None, False
            if method == "card" and key != "none":
                payment_id, card_key, is_new = await self.bring(user, 5_000, order_id, key, declines)
                has_intent = not is_new
            call = Pay(
                payment_id=payment_id,
                user_id=user,
                order_id=order_id,
                method=method,
                payment_key=card_key,
                has_intent=has_intent,
            )
            self.calls.append(call)
            self.world.pg.befall(payment_id, befalls)
            self.world.orders.trouble = order_call
            await self.world.pay(replica, call)
            self.world.orders.trouble = Trouble.NONE

        self.step("paid later", pay())

    @possible(
        user=users, amount=amounts, replica=replicas, key=keys, declines=st.booleans(), befalls=one_trouble
    )
    def buy_points(
        self, user: int, amount: int, replica: int, key: str, declines: bool, befalls: list[Trouble]
    ) -> None:
        """Somebody buys points."""
        work = self.buy(user, amount, replica, key, declines=declines, befalls=befalls)
        self.step("points bought", work)

    async def buy(
        self, user: int, amount: int, replica: int, key: str, *, declines: bool, befalls: list[Trouble]
    ) -> None:
        """Bring a key, perhaps, and buy points."""
        payment_id, card_key, is_new = self.numbers.new(), None, True
        if key != "none":
            payment_id, card_key, is_new = await self.bring(user, amount, None, key, declines)
        call = BuyPoints(
            payment_id=payment_id, user_id=user, amount=amount, payment_key=card_key, has_intent=not is_new
        )
        self.calls.append(call)
        self.world.pg.befall(payment_id, befalls)
        await self.world.buy(replica, call)

    async def bring(
        self, user: int, amount: int, order_id: UUID | None, key: str, declines: bool
    ) -> tuple[UUID, str, bool]:
        """A number and a key for it, and whether the number is made for the key at this moment."""
        payment_id = self.numbers.new()
        card_key = f"key-{payment_id}"
        if self.brought and key in ("number again", "key again"):
            earlier, earlier_key = self.brought[-1]
            if key == "number again":
                return earlier, earlier_key, False
            return payment_id, earlier_key, True
        is_new = key not in ("number", "for another amount")
        if not is_new:
            other = key == "for another amount"
            intent = MakeIntent(
                payment_id=payment_id,
                user_id=user,
                order_id=None if other else order_id,
                amount=amount + 1 if other else amount if order_id is None else None,
            )
            try:
                made = await paying.make_intent(intent, self.world.db, self.world.rpc, self.world.settings)
                amount = made.amount
            except Problem:
                self.reached["no number"] += 1
        if key != "made up":
            is_known = not is_new
            self.world.pg.open_widget(
                card_key,
                number=payment_id if is_known else None,
                amount=amount if is_known else None,
                declines=declines,
            )
        self.brought.append((payment_id, card_key))
        return payment_id, card_key, is_new

    @possible(n=which, replica=replicas, twice=st.booleans(), befalls=one_trouble)
    def call_again(self, n: int, replica: int, twice: bool, befalls: list[Trouble]) -> None:
        """Somebody who got no answer, or did not like it, calls again; perhaps both replicas at once."""
        if not self.calls:
            self.go_on()
            return
        call = self.calls[-1 - n % len(self.calls)]

        async def again() -> None:
            self.world.pg.befall(call.payment_id, befalls)
            await asyncio.gather(*(self.make(one, call) for one in {replica, int(twice)}))

        self.step("called again", again())

    async def make(self, replica: int, call: Call) -> None:
        """Make a call."""
        match call:
            case Pay():
                await self.world.pay(replica, call)
            case BuyPoints():
                await self.world.buy(replica, call)
            case RefundPayment():
                await self.world.refund(replica, call)

    @possible(often=2, n=which, by=st.sampled_from(("buyer", "admin")))
    def cancel(self, n: int, by: Any) -> None:
        """An order is cancelled."""
        if not self.placed:
            self.go_on()
            return
        order_id = self.placed[-1 - n % len(self.placed)]
        self.step("order cancelled", self.cancel_order(order_id, by))

    async def cancel_order(self, order_id: UUID, by: Any) -> None:
        """Cancel an order, if it can be."""
        try:
            await self.world.orders.cancel(CancelOrder(order_id=order_id, by=by))
        except Problem:
            self.reached["not cancelled"] += 1
        self.world.collect()

    # The network and the clock ---------------------------------------------------------------------------

    @possible(often=2, picks=st.none() | st.lists(which, min_size=1, max_size=5), again=st.booleans())
    def letters_arrive(self, picks: list[int] | None, again: bool) -> None:
        """Some letters arrive, in any order, or all of them and what they lead to; perhaps once more."""
        letters = self.world.letters
        if not letters:
            self.go_on()
            return
        chosen = range(len(letters)) if picks is None else {pick % len(letters) for pick in picks}
        arriving = [letters[n] for n in sorted(chosen)]
        self.world.letters = [letter for n, letter in enumerate(letters) if again or n not in chosen]

        async def arrive() -> None:
            await self.world.deliver(arriving, side_by_side=picks is None)
            if picks is None:
                await self.world.deliver_all()

        self.step("letters", arrive())

    @possible(seconds=st.sampled_from((0.3, 2.0, 11.0, 31.0, 31.0, 70.0, 601.0, 1_850.0)))
    def time_passes(self, seconds: float) -> None:
        """Time passes, perhaps so much that sessions end, and orders that nobody has paid for."""
        self.step("time", self.world.pass_time(seconds))

    # The replicas ----------------------------------------------------------------------------------------

    @possible(
        often=3,
        replica=replicas,
        wait_s=waits,
        befalls=troubles,
        order_call=st.sampled_from((Trouble.NONE, Trouble.NONE, *Trouble)),
    )
    def ask(self, replica: int, wait_s: float, befalls: list[Trouble], order_call: Trouble) -> None:
        """A replica asks the PG about all that is due."""

        async def ask() -> None:
            await self.world.pass_time(wait_s)
            self.world.orders.trouble = order_call
            await self.world.ask(replica, befalls)
            self.world.orders.trouble = Trouble.NONE

        self.step("asked", ask())

    @possible(wait_s=waits, befalls=troubles, reads_list=st.booleans())
    def reconcile(self, wait_s: float, befalls: list[Trouble], reads_list: bool) -> None:
        """Both replicas do their jobs side by side."""

        async def both() -> None:
            await self.world.pass_time(wait_s)
            rows = self.by_card()
            for n, row in enumerate(rows):
                self.world.pg.befall(row.payment_id, befalls[n :: len(rows)])
            await self.world.reconcile()
            if reads_list:
                await self.world.catch_up()

        self.step("reconciled", both())

    @possible(
        replica=replicas, at=st.lists(st.sampled_from((Trouble.HANGS, Trouble.ANSWER_HANGS)), min_size=9)
    )
    def crash(self, replica: int, at: list[Trouble]) -> None:
        """A replica dies while it waits for the PG, and is started again."""

        async def die() -> None:
            await self.world.ask(replica, at)
            await self.world.crash(replica)

        self.step("crashed", die())

    # The PG ----------------------------------------------------------------------------------------------

    @possible(n=which, what=st.sampled_from(("answer", "no answer", "request")))
    def comes_late(self, n: int, what: str) -> None:
        """The PG answers a question that hung, or a request arrives that nobody waits for any more."""
        hanging = sorted(self.world.pg.parked, key=lambda one: one.payment_id)
        late = sorted(self.world.pg.late, key=lambda one: (one.sent_at, one.payment_id))

        async def come() -> None:
            if late and (what == "request" or not hanging):
                self.world.pg.arrive(self.pick(late, n))
            else:
                self.world.pg.answer(self.pick(hanging, n), lost=what == "no answer")
            await self.world.quiet()

        if hanging or late:
            self.step("late", come())
        else:
            self.go_on()

    @possible(n=which, share=st.sampled_from((0.0, 0.3, 1.0)), notices=st.integers(0, 2))
    def cancelled_at_the_pg(self, n: int, share: float, notices: int) -> None:
        """Somebody cancels at the PG's own counter, the whole or a part; it tells us so or not."""
        if not self.cancellable():
            self.go_on()
            return
        session = self.pick(self.cancellable(), n)
        self.world.pg.cancel_by_itself(session, max(1, int(session.left * share)))

        notice = self.world.pg.notice_of(session)
        self.world.notices.append(notice)

        async def tell() -> None:
            for _ in range(notices):
                await self.world.notice(notice)

        self.step("cancelled at the PG", tell())

    @possible(often=2, n=which, how=st.sampled_from(("refuses", "refuses", "contradicts", "is good")))
    def the_pg_is_difficult(self, n: int, how: str) -> None:
        """The PG will not cancel a payment any more, or says what is not about it; or it is good again."""
        if not self.world.pg.known():
            self.go_on()
            return
        self.reached["steps"] += 1
        session = self.pick(self.world.pg.known(), n)
        session.refuses_to_cancel, session.contradicts = how == "refuses", how == "contradicts"

    @possible(
        n=which, what=st.sampled_from(("told", "told", "", "CHARGED 0", "CANCELLED 0", "nobody's", "none"))
    )
    def notice(self, n: int, what: str) -> None:
        """A notice comes that the PG sent some time ago, or that somebody made up, about ours or nobody's."""
        rows = self.world.books.payments
        body = {"nobody's": str(UUID(int=99)), "none": "no notice"}.get(what, "")
        if what == "told" and self.world.notices:
            body = self.pick(self.world.notices, n)
        elif not body and rows:
            body = f"{self.pick(rows, n).payment_id} {'' if what == 'told' else what}"
        self.step("notice", self.world.notice(body))

    # People of the shop ----------------------------------------------------------------------------------

    @possible(
        often=2,
        n=which,
        replica=replicas,
        share=st.sampled_from((0.3, 0.3, 1.0, None)),
        befalls=one_trouble,
        order_call=st.sampled_from((Trouble.NONE, Trouble.NONE, *Trouble)),
    )
    def refund(
        self, n: int, replica: int, share: float | None, befalls: list[Trouble], order_call: Trouble
    ) -> None:
        """An admin gives a part of a payment back, or all of it."""
        if not self.world.books.payments:
            self.go_on()
            return
        row = self.pick(self.world.books.payments, n)
        amount = None if share is None else max(1, int(row.amount * share))
        call = RefundPayment(refund_id=self.numbers.new(), payment_id=row.payment_id, by=1, amount=amount)
        self.calls.append(call)

        async def refund() -> None:
            self.world.pg.befall(row.payment_id, befalls)
            self.world.orders.trouble = order_call
            await self.world.refund(replica, call)
            self.world.orders.trouble = Trouble.NONE

        self.step("refunded", refund())

    @possible(n=which, wish=st.sampled_from(("returned", "kept", "not_charged")))
    def resolve(self, n: int, wish: Outcome) -> None:
        """A person decides about a payment that needs it."""
        if not self.undecided():
            self.go_on()
            return
        self.step("resolved", self.world.resolve(self.pick(self.undecided(), n), wish))

    @rule(step=st.one_of(*_possible.values()))
    def happens(self, step: tuple[str, dict[str, Any]]) -> None:
        """Something happens."""
        name, drawn = step
        getattr(self, name)(**drawn)

    # What must hold --------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        """After every step."""
        self.do(self.world.look())
        self.count()

    def count(self) -> None:
        """Keep count of what was reached."""
        for row in self.world.books.payments:
            is_part = row.state is State.HELD and row.refunded
            self.reached[f"{row.state} {'in part' if is_part else row.reason}"] += 1

    def teardown(self) -> None:
        """Let it come to rest; then a person decides what is left, and it comes to rest once more."""
        try:
            self.do(self.world.rest(self.late_by))
            self.do(self.world.check_rest())
            self.count()
            for n, row in enumerate(self.undecided()):
                wish: Outcome = ("returned", "kept", "not_charged")[n % 3]
                self.do(self.world.resolve(row, wish))
            self.do(self.world.rest(self.late_by))
            self.do(self.world.check_rest())
        finally:
            for replica in range(REPLICAS):
                self.do(self.world.crash(replica))

    # Choosing --------------------------------------------------------------------------------------------

    def pick(self, among: Any, n: int) -> Any:
        """One of these, the newest first."""
        return among[-1 - n % len(among)]

    def by_card(self) -> list[Row]:
        """The payments that the PG may know of."""
        return [row for row in self.world.books.payments if row.by_card]

    def undecided(self) -> list[Row]:
        """The payments that a person has to decide about."""
        return [row for row in self.world.books.payments if row.state is State.NEEDS_ATTENTION]

    def cancellable(self) -> list[Any]:
        """What the PG may cancel by itself: not what a person has closed, who has given it back by hand."""
        closed = {str(row.payment_id) for row in self.world.books.payments if row.resolved is not None}
        return [session for session in self.world.pg.charged() if session.number not in closed]


def test_payments_come_to_rest_with_books_that_agree(
    worlds: Worlds, loop: asyncio.AbstractEventLoop, model_steps: int | None
) -> None:
    reached: Counter[str] = Counter()
    steps = model_steps or STEPS

    class Run(Payments):
        """A shop on this test's databases."""

        def __init__(self) -> None:
            super().__init__(worlds, loop, reached)

    try:
        run_state_machine_as_test(
            Run,
            settings=settings(
                max_examples=steps // IN_A_RUN,
                stateful_step_count=IN_A_RUN,
                deadline=None,
                derandomize=True,
                database=None,
                # To make what is found shorter would take many minutes.
                phases=(Phase.generate,),
                suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
            ),
        )
    finally:
        print(f"\n{dict(sorted(reached.items()))}")
    assert reached["steps"] >= 0.9 * steps
    # It would prove little of what it does not reach.
    for state in State:
        assert any(name.startswith(state) for name in reached) or state is State.KEPT, (state, reached)
