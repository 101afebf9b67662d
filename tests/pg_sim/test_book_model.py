"""The book against a model of a few lines: any steps in any order, with restarts between any two."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from pg_sim.book import Book, Once
from pg_sim.cards import CARDS, Manner, OverallManner, manner_of
from pg_sim.notices import tried_again
from pg_sim.payments import Payment
from pg_sim.refusals import Refusal, Refused, refusal
from pg_sim.settings import SimulatorSettings

ORDERS = st.sampled_from(["order-a", "order-b", "order-c", "order-d"])
AMOUNTS = st.sampled_from([1, 2, 99, 20_000])
ONCE = st.none() | st.sampled_from(["k-1", "k-2"])
FOREIGN = st.sampled_from(["default_1", "a/b?c"])
EVERYTHING = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


class BookMachine(RuleBasedStateMachine):
    """What a shop, buyers, a person at the PG and the time may do, and a kill."""

    keys: Bundle[str] = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.settings = SimulatorSettings(
            pg_journal=str(Path(self.folder.name) / "pg.jsonl"), pg_session_s=600, pg_own_cancel_s=3
        )
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.book = self.opened()
        self.charged: dict[str, int] = {}
        """By payment key: what was charged."""
        self.given_back: dict[str, int] = {}
        self.number_of: dict[str, tuple[str, int]] = {}
        self.first: dict[Once, Refusal | Payment] = {}
        self.to_be_charged: list[str] = []
        """Claimed, and charged when anything may have happened since."""

    def opened(self) -> Book:
        return Book(self.settings, clock=lambda: self.now)

    def teardown(self) -> None:
        self.folder.cleanup()

    def once_of(self, target: str, key: str | None) -> Once | None:
        return None if key is None else Once(target, key)

    def first_answer(self, once: Once | None) -> Refusal | Payment | None:
        """As the API does: what was answered before is answered again, and nothing is done."""
        known = self.book.answered(once) if once else None
        assert known == (self.first.get(once) if once else None)
        return known

    def note(self, once: Once | None, answer: Refusal | Payment) -> None:
        if once is not None:
            self.first[once] = answer

    @rule(
        target=keys,
        card=st.sampled_from(sorted(CARDS)),
        bound=st.none() | st.tuples(ORDERS, AMOUNTS),
    )
    def hand_out(self, card: str, bound: tuple[str, int] | None) -> str:
        order_id, amount = bound or ("", 0)
        try:
            key = self.book.hand_out(card, order_id, amount).key
        except Refused:
            assert order_id in {self.number_of[key][0] for key in self.charged}
            return "default_1"
        if bound:
            self.number_of[key] = bound
        return key

    @rule(
        key=keys | FOREIGN,
        own=st.booleans(),
        order_id=ORDERS,
        amount=AMOUNTS,
        outcome=st.sampled_from(["approve", "approve", "later", "decline", "stumble"]),
        idempotency_key=ONCE,
    )
    def confirm(
        self, key: str, own: bool, order_id: str, amount: int, outcome: str, idempotency_key: str | None
    ) -> None:
        if own:
            order_id, amount = self.number_of.get(key, (order_id, amount))
        once = self.once_of("confirm", idempotency_key)
        if self.first_answer(once) is not None:
            return
        try:
            claimed = self.book.claim(key, order_id, amount)
            assert self.number_of.setdefault(key, (order_id, amount)) == (order_id, amount)
            assert (claimed.status, claimed.order_id, claimed.amount) == ("IN_PROGRESS", order_id, amount)
            if outcome == "approve":
                self.note(once, self.book.approve(key, once))
                self.charged[key] = amount
            elif outcome == "later":
                self.to_be_charged.append(key)
            elif outcome == "decline":
                self.note(once, refusal("REJECT_CARD_COMPANY"))
                self.book.decline(key, refusal("REJECT_CARD_COMPANY"), once)
            else:
                self.note(once, refusal("PROVIDER_ERROR"))
                self.book.stumble(key, refusal("PROVIDER_ERROR"), once)
        except Refused as refused:
            if refused.refusal.code == "ALREADY_PROCESSED_PAYMENT":
                assert self.book.by_key(key).status not in ("IN_PROGRESS", "EXPIRED")
            if once is not None:
                self.book.keep_refusal(once, refused.refusal)
                self.note(once, refused.refusal)

    @rule()
    @precondition(lambda self: self.to_be_charged)
    def charge_late(self) -> None:
        key = self.to_be_charged.pop()
        order_id, amount = self.number_of[key]
        possible = self.book.by_key(key).status == "IN_PROGRESS" and order_id not in {
            self.number_of[charged][0] for charged in self.charged
        }
        try:
            self.book.approve(key)
        except Refused:
            assert not possible
        else:
            assert possible
            self.charged[key] = amount

    @rule(key=keys | FOREIGN, amount=st.none() | AMOUNTS, idempotency_key=ONCE)
    def cancel(self, key: str, amount: int | None, idempotency_key: str | None) -> None:
        once = self.once_of(f"cancel {key}", idempotency_key)
        if self.first_answer(once) is not None:
            return
        left = self.charged.get(key, 0) - self.given_back.get(key, 0)
        self.book.pass_time()
        self.learn_of_own_cancellations()
        left = self.charged.get(key, 0) - self.given_back.get(key, 0)
        try:
            payment = self.book.cancel(key, amount, "A reason", once)
        except Refused as refused:
            assert not left or (amount or 0) > left
            if once is not None:
                self.book.keep_refusal(once, refused.refusal)
                self.note(once, refused.refusal)
            return
        self.note(once, payment)
        self.given_back[key] = self.given_back.get(key, 0) + (amount or left)
        assert payment.status == ("CANCELED" if (amount or left) == left else "PARTIAL_CANCELED")

    @rule(seconds=st.sampled_from([3, 599, 601, 20 * 86_400]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if seconds > 15 * 86_400:
            self.first.clear()
        self.book.pass_time()
        self.learn_of_own_cancellations()

    @rule(overall=st.sampled_from(OverallManner))
    def behave(self, overall: OverallManner) -> None:
        self.book.behave(overall)
        assert self.book.overall is overall

    @rule(taken=st.booleans())
    def send_notices(self, taken: bool) -> None:
        for notice, _ in list(self.book.notices.values()):
            again = None if taken else tried_again(notice, self.now, self.settings)
            self.book.settle_notice(notice.id, again)
        assert not taken or not self.book.notices

    @rule(torn=st.binary(max_size=30))
    def restart(self, torn: bytes) -> None:
        self.book.pass_time()
        self.learn_of_own_cancellations()
        before = self.everything(self.book)
        with Path(self.settings.pg_journal).open("ab") as file:
            file.write(torn.replace(b"\n", b""))
        self.book = self.opened()
        assert self.everything(self.book) == before
        self.book.pass_time()
        assert self.everything(self.book) == before

    def learn_of_own_cancellations(self) -> None:
        """What the PG cancelled by itself: half or all, once, and only of cards that it does so with."""
        for payment in self.book:
            back = sum(one.amount for one in payment.cancellations)
            if back != self.given_back.get(payment.key, 0):
                own = [one for one in payment.cancellations if one.reason != "A reason"]
                assert len(own) == 1
                assert manner_of(payment.card) in (Manner.CANCELS_PART, Manner.CANCELS_WHOLE)
                self.given_back[payment.key] = back

    def everything(self, book: Book) -> object:
        """The whole state, as far as anybody can tell."""
        return msgspec.to_builtins(
            {
                "payments": list(book),
                "by order": {one.order_id: book.by_order(one.order_id) for one in book},
                "transactions": list(book.transactions(*EVERYTHING, None, 10**9)),
                "notices": sorted(book.notices.items()),
                "answers": [(once, book.answered(once)) for once in self.first],
                "overall": book.overall,
            }
        )

    @invariant()
    def books_balance(self) -> None:
        for payment in self.book:
            back = sum(one.amount for one in payment.cancellations)
            assert payment.balance >= 0
            assert payment.amount == payment.balance + back
            assert payment.charged == (payment.key in self.charged)
            assert (payment.order_id, payment.amount) == self.number_of[payment.key]
            assert back == self.given_back.get(payment.key, 0)
            assert all(one.amount > 0 for one in payment.cancellations)
            expected = (
                {"CANCELED" if not payment.balance else "PARTIAL_CANCELED" if back else "DONE"}
                if payment.charged
                else {"IN_PROGRESS", "ABORTED", "EXPIRED"}
            )
            assert payment.status in expected

    @invariant()
    def an_order_is_charged_once(self) -> None:
        orders = [payment.order_id for payment in self.book if payment.charged]
        assert len(orders) == len(set(orders))
        for payment in self.book:
            assert self.book.by_order(payment.order_id).charged == (payment.order_id in orders)

    @invariant()
    def transactions_add_up(self) -> None:
        rows = list(self.book.transactions(*EVERYTHING, None, 10**9))
        assert len({row.key for row in rows}) == len(rows)
        assert [row.at for row in rows] == sorted(row.at for row in rows)
        charged = sum(row.amount for row in rows if row.status == "DONE")
        assert charged == sum(self.charged.values())
        assert charged - sum(row.amount for row in rows if row.status != "DONE") == sum(
            payment.balance for payment in self.book if payment.charged
        )


class TestBook(BookMachine.TestCase):
    """So many walks as cost a second."""

    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.long
class TestBookOnManyWalks(BookMachine.TestCase):
    """The same, until the rare orders of things have come up too."""

    settings = settings(TestBook.settings, max_examples=2000)
