"""The saga among participants that keep the claim rules, over a network that repeats, reorders and delays.

A stateful model: hypothesis looks for a sequence of deliveries, deadlines and cancellations after which an
order does not come to rest, or rests in contradiction to what its participants hold.
"""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from order_svc import saga as rules
from order_svc.saga import Milestone, Participant, Saga, Signal, State, Status

PAYMENT = UUID(int=7)
LATER = (UUID(int=8), UUID(int=9))


class Claim(StrEnum):
    """What a participant has written down for the order."""

    HELD = "HELD"
    REJECTED = "REJECTED"
    RELEASED = "RELEASED"
    KEPT = "KEPT"


class Message(NamedTuple):
    """Something under way: `placed` and `release` to a participant, the signals from one."""

    kind: str
    name: str


class OrderAmongParticipants(RuleBasedStateMachine):
    """One order, its participants, and all messages that are under way between them."""

    def __init__(self) -> None:
        super().__init__()
        self.saga = Saga(participants={})
        self.says_yes: dict[str, bool] = {}
        self.keeps = False
        """Whether a person will decide that the shop keeps what was paid."""
        self.claims: dict[str, Claim] = {}
        self.took: dict[str, int] = {}
        self.under_way: list[Message] = []
        self.later: dict[UUID, bool] = {}
        """Payments made later, and whether they still hold the money."""
        self.told: list[Milestone] = []
        self.cancels = 0

    # What happens ----------------------------------------------------------------------------------------

    @initialize(
        coupon=st.none() | st.booleans(),
        payment=st.none() | st.booleans(),
        item=st.booleans(),
        keeps=st.booleans(),
    )
    def place(self, item: bool, coupon: bool | None, payment: bool | None, keeps: bool) -> None:
        """Place an order; each participant is of a mind to say yes or no."""
        self.keeps = keeps
        asked = {"item": item, "coupon": coupon, "payment": payment}
        self.says_yes = {name: yes for name, yes in asked.items() if yes is not None}
        self.took = dict.fromkeys(self.says_yes, 0)
        self.saga = Saga(
            pays="payment" in self.says_yes, participants={name: Participant() for name in self.says_yes}
        )
        self.under_way = [Message("placed", name) for name in self.says_yes]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """Any message under way arrives; `again` leaves a copy of it under way."""
        number = data.draw(st.integers(0, len(self.under_way) - 1))
        message = self.under_way[number] if again else self.under_way.pop(number)
        self.arrive(message)

    @rule()
    def deadline_passes(self) -> None:
        """The sweep finds the order overdue."""
        rules.deadline(self.saga)
        self.leave()

    @rule(by=st.sampled_from(("buyer", "admin")))
    def cancel(self, by: str) -> None:
        """Somebody cancels, at whatever moment."""
        if rules.cancel(self.saga, by):
            self.cancels += 1
        self.leave()

    @rule()
    def ask_back_again(self) -> None:
        """Releases that nobody has acknowledged are sent again."""
        for name, participant in self.saga.participants.items():
            if participant.state is State.RELEASING:
                self.under_way.append(Message("release", name))

    @precondition(lambda self: self.saga.status is Status.COMPLETED and not self.saga.pays)
    @rule(payment_id=st.sampled_from(LATER))
    def pay_later(self, payment_id: UUID) -> None:
        """The buyer pays, perhaps twice, since nothing here keeps him from it."""
        if payment_id not in self.later:
            self.later[payment_id] = True
            self.under_way.append(Message("captured", str(payment_id)))

    @rule()
    def hand_out_again(self) -> None:
        """The outbox publishes `order.placed` once more."""
        self.under_way += [Message("placed", name) for name in self.took]

    # The world -------------------------------------------------------------------------------------------

    def arrive(self, message: Message) -> None:
        """Let a message have its effect."""
        if message.kind == "placed":
            self.claim(message.name)
        elif message.kind == "captured":
            rules.hear(self.saga, "payment", Signal.YES, payment_id=UUID(message.name))
            self.leave()
        elif message.kind in ("refunded", "kept"):
            signal = Signal.KEPT if message.kind == "kept" else Signal.RELEASED
            details = {"amount": 1, "note": "-"} if signal is Signal.KEPT else None
            rules.hear(self.saga, "payment", signal, details=details, payment_id=UUID(message.name))
            self.leave()
        elif message.kind == "release" and message.name == "payment" and self.later:
            for payment_id in self.later:  # only one is held: those the order does not take go back at once
                if self.saga.participants["payment"].payment_id == payment_id:
                    self.later[payment_id] = self.keeps
                    self.under_way.append(Message("kept" if self.keeps else "refunded", str(payment_id)))
        elif message.kind == "release":
            self.release(message.name)
        else:
            signal = Signal(message.kind)
            reason = "refused" if signal is Signal.NO else None
            payment = PAYMENT if message.name == "payment" else None
            rules.hear(self.saga, message.name, signal, reason=reason, payment_id=payment)
            self.leave()

    def claim(self, name: str) -> None:
        """A participant hears of the order: it decides once, and repeats its answer ever after."""
        if name not in self.claims:
            self.claims[name] = Claim.HELD if self.says_yes[name] else Claim.REJECTED
            self.took[name] += self.says_yes[name]
        held = self.claims[name] is Claim.HELD
        self.under_way.append(Message(Signal.YES if held else Signal.NO, name))

    def release(self, name: str) -> None:
        """A participant is asked to give back: also if it never heard of the order, it remembers that."""
        if name == "payment" and self.keeps and self.claims.get(name) in (Claim.HELD, Claim.KEPT):
            self.claims[name] = Claim.KEPT
            self.under_way.append(Message("kept", str(PAYMENT)))
            return
        if self.claims.get(name) is Claim.HELD:
            self.took[name] -= 1
        self.claims[name] = Claim.RELEASED
        self.under_way.append(Message(Signal.RELEASED, name))

    def leave(self) -> None:
        """Send and keep what a unit of work of the order leaves behind, as its store does."""
        self.under_way += [Message("release", name) for name in self.saga.releases]
        for payment_id in self.saga.rejected:
            self.later[payment_id] = False
            self.under_way.append(Message("refunded", str(payment_id)))
        self.saga.rejected.clear()
        self.told += self.saga.milestones
        self.saga.releases.clear()
        self.saga.changes.clear()
        self.saga.milestones.clear()

    # What must hold at every moment ----------------------------------------------------------------------

    @invariant()
    def nobody_takes_twice_or_gives_back_what_he_never_took(self) -> None:
        assert all(taken in (0, 1) for taken in self.took.values())
        holds = (Claim.HELD, Claim.KEPT)
        assert all((self.claims.get(name) in holds) == bool(took) for name, took in self.took.items())

    @invariant()
    def the_status_fits_the_states(self) -> None:
        states = [one.state for one in self.saga.participants.values()]
        match self.saga.status:
            case Status.PENDING:
                assert set(states) <= {State.AWAITING, State.YES}
                assert not self.saga.settled
                assert not states or State.AWAITING in states
            case Status.COMPLETED:
                assert set(states) == {State.YES}
                assert self.saga.settled
            case Status.FAIL:
                assert State.YES not in states
                assert self.saga.settled == (
                    set(states) == {State.NO} or (State.KEPT in states and all(map(rules.has_ended, states)))
                )
            case Status.CANCEL:
                assert set(states) <= {State.NO, State.RELEASED}
                assert State.RELEASED in states
                assert self.saga.settled

    @invariant()
    def a_completed_order_has_what_it_needs(self) -> None:
        if self.saga.status is Status.COMPLETED:
            assert all(self.took.values())
            assert self.saga.paid == ("payment" in self.saga.participants)
            if self.saga.paid and self.later:
                assert self.later[self.saga.participants["payment"].payment_id or PAYMENT]
            assert self.saga.reason is None

    @invariant()
    def an_order_is_paid_while_its_money_is_here(self) -> None:
        if self.saga.paid:
            assert self.saga.participants["payment"].state in (State.YES, State.RELEASING, State.KEPT)

    @invariant()
    def a_settled_failure_holds_nothing_for_ever(self) -> None:
        if self.saga.settled and self.saga.status in (Status.FAIL, Status.CANCEL):
            kept = [name for name, claim in self.claims.items() if claim is Claim.KEPT]
            assert [name for name, took in self.took.items() if took] == kept
            assert self.saga.reason
            # Nor could anything under way take something now: everyone has a claim that says no.
            ends = (Claim.REJECTED, Claim.RELEASED, Claim.KEPT)
            assert all(self.claims[name] in ends for name in self.took)

    @invariant()
    def an_order_whose_payment_is_kept_says_so_and_why_it_failed(self) -> None:
        payment = self.saga.participants.get("payment")
        is_kept = payment is not None and payment.state is State.KEPT
        assert (self.saga.reason == rules.PAYMENT_KEPT) == is_kept
        if is_kept:
            assert self.saga.reason_details
            assert self.saga.reason_details["was"] not in (None, rules.PAYMENT_KEPT)

    @invariant()
    def the_world_is_told_one_consistent_story(self) -> None:
        for once in Milestone:
            assert self.told.count(once) <= 1
        if Milestone.COMPLETED in self.told and self.saga.status is not Status.COMPLETED:
            # Only somebody who cancels takes a completed order back, or that nobody paid.
            why = self.saga.reason
            if why == rules.PAYMENT_KEPT and self.saga.reason_details:
                why = self.saga.reason_details["was"]
            assert rules.was_cancelled(self.saga) or why == rules.PAYMENT_EXPIRED
            assert self.cancels == rules.was_cancelled(self.saga)
        assert (Milestone.FAILED in self.told) == (self.saga.status in (Status.FAIL, Status.CANCEL))
        assert (Milestone.CANCELLED in self.told) == (self.saga.status is Status.CANCEL)
        if any(claim is Claim.RELEASED for claim in self.claims.values()):
            assert Milestone.FAILED in self.told

    @invariant()
    def cancelling_succeeds_at_most_once(self) -> None:
        assert self.cancels <= 1

    # What must hold in the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        """Deliver all that is under way, let the deadline pass, and again until nothing moves."""
        for _ in range(4):
            while self.under_way:
                self.arrive(self.under_way.pop())
                self.check()
            rules.deadline(self.saga)
            self.leave()
            self.ask_back_again()
            self.check()
        assert not self.says_yes or self.saga.settled
        if self.saga.status is Status.CANCEL:
            assert any(claim is Claim.RELEASED for claim in self.claims.values())
        if self.saga.status is Status.FAIL:
            is_kept = self.saga.reason == rules.PAYMENT_KEPT
            assert is_kept or set(self.claims.values()) <= {Claim.REJECTED}
        # Money stays with the shop only for an order that stands, and only once; or where a person keeps it.
        kept = [payment_id for payment_id, held in self.later.items() if held]
        states = self.saga.status is Status.COMPLETED or self.saga.reason == rules.PAYMENT_KEPT
        assert len(kept) == int(states and self.saga.paid and not self.saga.pays)

    def check(self) -> None:
        """Every invariant, also on the way to the end."""
        self.nobody_takes_twice_or_gives_back_what_he_never_took()
        self.the_status_fits_the_states()
        self.a_completed_order_has_what_it_needs()
        self.an_order_is_paid_while_its_money_is_here()
        self.a_settled_failure_holds_nothing_for_ever()
        self.an_order_whose_payment_is_kept_says_so_and_why_it_failed()
        self.the_world_is_told_one_consistent_story()


class TestOrderAmongParticipants(OrderAmongParticipants.TestCase):
    """So many walks as cost a second."""

    settings = settings(
        max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None
    )


@pytest.mark.long
class TestOrderOnManyWalks(OrderAmongParticipants.TestCase):
    """The same, until the rare orders of things have come up too."""

    settings = settings(TestOrderAmongParticipants.settings, max_examples=3000)
