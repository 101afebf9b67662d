"""Every transition of an order's saga, against a table of expectations written out by hand."""

import copy
from itertools import product
from uuid import UUID

import pytest

from order_svc import saga as rules
from order_svc.saga import Milestone, Participant, Saga, Signal, State, Status

PENDING, COMPLETED, FAIL, CANCEL = Status.PENDING, Status.COMPLETED, Status.FAIL, Status.CANCEL
AWAITING, YES, NO, RELEASING, RELEASED, KEPT = (
    State.AWAITING,
    State.YES,
    State.NO,
    State.RELEASING,
    State.RELEASED,
    State.KEPT,
)
PAYMENT = UUID(int=7)

# What becomes of `item`, in each status of the order, where it stands so and says this; of `payment` in the
# last column, since that alone keeps. The other participant (coupon) is such that nothing closes. "-" leaves
# it where it is, "!" leaves it and records what it said.
TABLE = """
            yes         no          released    kept
PENDING
 AWAITING   YES         NO          -           -
 YES        -           -           -           -
 NO         -           -           -           -
 RELEASING  !           !           -           -
 RELEASED   !           !           -           -
 KEPT       !           !           -           -
COMPLETED
 AWAITING   -           -           -           -
 YES        -           -           -           -
 NO         -           -           -           -
 RELEASING  !           !           -           -
 RELEASED   !           !           -           -
 KEPT       !           !           -           -
FAIL
 AWAITING   RELEASING   NO          -           -
 YES        -           -           -           -
 NO         -           -           -           -
 RELEASING  !           !           RELEASED    KEPT
 RELEASED   !           !           -           -
 KEPT       !           !           -           -
CANCEL
 AWAITING   -           -           -           -
 YES        -           -           -           -
 NO         -           -           -           -
 RELEASING  !           !           -           -
 RELEASED   !           !           -           -
 KEPT       !           !           -           -
"""


def _expectations() -> dict[tuple[Status, State, Signal], str]:
    found: dict[tuple[Status, State, Signal], str] = {}
    status = PENDING
    for row in TABLE.strip("\n").splitlines()[1:]:
        if not row.startswith(" "):
            status = Status(row.strip())
            continue
        state, *cells = row.split()
        for signal, cell in zip(Signal, cells, strict=True):
            found[status, State(state), signal] = cell
    return found


EXPECTED = _expectations()


def _saga(status: Status = PENDING, **states: State) -> Saga:
    reason = None if status in (PENDING, COMPLETED) else "out_of_stock"
    return Saga(
        status=status,
        settled=status in (COMPLETED, CANCEL),
        reason=reason,
        pays="payment" in states,
        participants={name: Participant(state=state) for name, state in states.items()},
    )


def _states(saga: Saga) -> dict[str, State]:
    return {name: one.state for name, one in saga.participants.items()}


def test_the_table_covers_every_combination() -> None:
    assert set(EXPECTED) == set(product(Status, State, Signal))
    assert len(EXPECTED) == 4 * 6 * 4


@pytest.mark.parametrize(("status", "state", "signal"), list(EXPECTED), ids="-".join)
def test_each_combination_does_what_the_table_says(status: Status, state: State, signal: Signal) -> None:
    expected = EXPECTED[status, state, signal]
    name = "payment" if signal is Signal.KEPT else "item"
    saga = _saga(status, **{name: state}, coupon=AWAITING)
    before = copy.deepcopy(saga)
    changed = rules.hear(saga, name, signal, reason="out_of_stock" if signal is Signal.NO else None)
    if expected == "-":
        assert not changed
        assert saga == before
    elif expected == "!":
        assert changed
        [entry] = saga.changes
        assert (entry.what, entry.participant, entry.moves) == (rules.HISTORY[name, signal], name, False)
        assert entry.details is not None
        assert entry.details["ignored"] is True
        saga.changes.clear()
        assert saga == before
    else:
        assert changed
        assert saga.participants[name].state is State(expected)
        assert saga.participants["coupon"].state is AWAITING
        assert saga.releases == (["item"] if expected == "RELEASING" else [])
        assert saga.status is (FAIL if signal is Signal.NO else status)


@pytest.mark.parametrize("name", ["item", "coupon", "payment"])
def test_every_participant_goes_by_the_same_table(name: str) -> None:
    for (status, state, signal), expected in EXPECTED.items():
        if (name, signal) not in rules.HISTORY:
            assert (name != "payment", signal) == (True, Signal.KEPT), "payment alone keeps"
            continue
        other = "item" if name != "item" else "coupon"
        saga = _saga(status, **{name: state, other: AWAITING})
        rules.hear(saga, name, signal, payment_id=PAYMENT if name == "payment" else None)
        assert saga.participants[name].state is (state if expected in "-!" else State(expected))


def test_somebody_who_takes_no_part_changes_nothing() -> None:
    for status, signal, name in product(Status, Signal, ("coupon", "payment")):
        saga = _saga(status, item=AWAITING)
        before = copy.deepcopy(saga)
        payment_id = PAYMENT if name == "payment" and signal is not Signal.YES else None
        assert not rules.hear(saga, name, signal, payment_id=payment_id)
        assert saga == before


# Closing -------------------------------------------------------------------------------------------------


def test_the_last_yes_completes_and_no_earlier_one() -> None:
    saga = _saga(item=AWAITING, coupon=AWAITING)
    rules.hear(saga, "coupon", Signal.YES)
    assert (saga.status, saga.settled, saga.milestones) == (PENDING, False, [])
    rules.hear(saga, "item", Signal.YES)
    assert (saga.status, saga.settled, saga.paid) == (COMPLETED, True, False)
    assert saga.milestones == [Milestone.COMPLETED]
    assert saga.reason is None


def test_an_order_that_pays_is_confirmed_when_it_completes() -> None:
    saga = _saga(item=YES, payment=AWAITING)
    rules.hear(saga, "payment", Signal.YES, payment_id=PAYMENT)
    assert (saga.status, saga.settled, saga.paid) == (COMPLETED, True, True)
    assert saga.milestones == [Milestone.COMPLETED, Milestone.CONFIRMED]
    assert saga.participants["payment"].payment_id == PAYMENT


def test_a_no_fails_and_releases_those_who_said_yes_but_not_the_silent() -> None:
    saga = _saga(item=AWAITING, coupon=YES, payment=AWAITING)
    rules.hear(saga, "item", Signal.NO, reason="out_of_stock", details={"item_id": 3})
    assert (saga.status, saga.settled) == (FAIL, False)
    assert (saga.reason, saga.reason_details) == ("out_of_stock", {"item_id": 3})
    assert _states(saga) == {"item": NO, "coupon": RELEASING, "payment": AWAITING}
    assert saga.releases == ["coupon"]
    assert saga.milestones == [Milestone.FAILED]


def test_the_first_reason_stays() -> None:
    saga = _saga(item=AWAITING, coupon=AWAITING)
    rules.hear(saga, "item", Signal.NO, reason="out_of_stock", details={"item_id": 3})
    rules.hear(saga, "coupon", Signal.NO, reason="coupon_invalid", details={"user_coupon_id": 1})
    assert (saga.reason, saga.reason_details) == ("out_of_stock", {"item_id": 3})
    assert [change.details for change in saga.changes if change.participant == "coupon"] == [
        {"reason": "coupon_invalid", "user_coupon_id": 1}
    ]


def test_a_lonely_no_settles_at_once_as_fail() -> None:
    saga = _saga(item=AWAITING)
    rules.hear(saga, "item", Signal.NO, reason="out_of_stock")
    assert (saga.status, saga.settled) == (FAIL, True)
    assert saga.milestones == [Milestone.FAILED]


def test_a_fail_that_settles_later_is_told_once_more() -> None:
    saga = _saga(FAIL, item=NO, coupon=AWAITING)
    rules.hear(saga, "coupon", Signal.NO, reason="coupon_invalid")
    assert (saga.status, saga.settled, saga.milestones) == (FAIL, True, [Milestone.SETTLED])


@pytest.mark.parametrize("others", list(product(State, repeat=2)), ids="-".join)
def test_a_failed_order_closes_when_nobody_is_left_to_hear_from(others: tuple[State, State]) -> None:
    """An acknowledgement arrives while the two others stand anyhow; the end follows from all three."""
    saga = _saga(FAIL, item=RELEASING, coupon=others[0], payment=others[1])
    rules.hear(saga, "item", Signal.RELEASED)
    rests = set(others) <= {NO, RELEASED, KEPT}
    kept = KEPT in others
    assert (saga.status, saga.settled) == (CANCEL if rests and not kept else FAIL, rests)
    assert saga.milestones == ([Milestone.SETTLED if kept else Milestone.CANCELLED] if rests else [])


@pytest.mark.parametrize("others", list(product(State, repeat=2)), ids="-".join)
def test_an_order_whose_payment_is_kept_rests_as_failed_for_that_reason(others: tuple[State, State]) -> None:
    """The payment is kept while the two others stand anyhow: they are waited for as ever."""
    saga = _saga(FAIL, item=others[0], coupon=others[1], payment=RELEASING)
    details = {"amount": 500, "note": "stolen card, the bank has it"}
    assert rules.hear(saga, "payment", Signal.KEPT, details=details, payment_id=PAYMENT)
    assert (saga.reason, saga.reason_details) == ("payment_kept", {"was": "out_of_stock", **details})
    assert saga.changes[0] == rules.Change("PAYMENT_KEPT", "payment", details)
    rests = set(others) <= {NO, RELEASED, KEPT}
    assert (saga.status, saga.settled) == (FAIL, rests)
    assert saga.milestones == ([Milestone.SETTLED] if rests else [])
    assert saga.releases == []
    assert not rules.hear(saga, "payment", Signal.KEPT, details=details, payment_id=PAYMENT)


def test_a_payment_that_is_kept_at_once_is_told_with_the_failure_and_with_the_end() -> None:
    saga = _saga(item=AWAITING, payment=YES)
    rules.hear(saga, "item", Signal.NO, reason="out_of_stock")
    rules.hear(saga, "payment", Signal.KEPT, details={"amount": 500, "note": "-"}, payment_id=PAYMENT)
    assert (saga.status, saga.settled, saga.reason) == (FAIL, True, "payment_kept")
    assert saga.milestones == [Milestone.FAILED, Milestone.SETTLED]


@pytest.mark.parametrize("by", ["buyer", "admin"])
def test_an_order_that_was_cancelled_and_its_payment_kept_still_counts_as_cancelled(by: str) -> None:
    saga = _saga(COMPLETED, item=YES, payment=YES)
    rules.cancel(saga, by)
    rules.hear(saga, "payment", Signal.KEPT, details={"amount": 500, "note": "-"}, payment_id=PAYMENT)
    assert rules.was_cancelled(saga)
    assert not rules.cancel(saga, by)
    rules.hear(saga, "item", Signal.RELEASED)
    assert (saga.status, saga.settled, rules.was_cancelled(saga)) == (FAIL, True, True)


def test_a_refund_in_part_is_history_and_nothing_else() -> None:
    for status, state in product(Status, State):
        saga = _saga(status, item=state, payment=state)
        before = copy.deepcopy(saga)
        rules.note_refund_in_part(saga, {"amount": 5, "refunded": 7})
        change = rules.Change("PAYMENT_PARTLY_REFUNDED", "payment", {"amount": 5, "refunded": 7}, moves=False)
        assert saga.changes == [change]
        saga.changes.clear()
        assert saga == before


def test_a_cancelled_order_stays_as_it_is() -> None:
    saga = _saga(CANCEL, item=RELEASED, coupon=NO)
    for name, signal in rules.HISTORY:
        if name in saga.participants:
            rules.hear(saga, name, signal)
    rules.deadline(saga)
    rules.cancel(saga, "buyer")
    assert (saga.status, saga.settled, saga.milestones, saga.releases) == (CANCEL, True, [], [])
    assert _states(saga) == {"item": RELEASED, "coupon": NO}


# Deadline ------------------------------------------------------------------------------------------------


def test_the_deadline_fails_a_pending_order_and_releases_everyone() -> None:
    saga = _saga(item=YES, coupon=AWAITING, payment=AWAITING)
    assert rules.deadline(saga)
    assert (saga.status, saga.settled, saga.reason) == (FAIL, False, "timeout")
    assert saga.reason_details == {"silent": ["coupon", "payment"]}
    assert set(_states(saga).values()) == {RELEASING}
    assert sorted(saga.releases) == ["coupon", "item", "payment"]
    assert saga.milestones == [Milestone.FAILED]


def test_the_deadline_of_a_failed_order_releases_the_silent_and_keeps_the_reason() -> None:
    saga = _saga(FAIL, item=NO, coupon=RELEASING, payment=AWAITING)
    assert rules.deadline(saga)
    assert _states(saga) == {"item": NO, "coupon": RELEASING, "payment": RELEASING}
    assert saga.releases == ["payment"]
    assert (saga.reason, saga.milestones) == ("out_of_stock", [])


@pytest.mark.parametrize("status", list(Status))
def test_the_deadline_says_nothing_to_an_order_that_heard_from_everyone(status: Status) -> None:
    for state in set(State) - {AWAITING}:
        saga = _saga(status, item=state)
        saga.paid = True
        before = copy.deepcopy(saga)
        assert not rules.deadline(saga)
        assert saga == before


def test_an_answer_after_the_deadline_counts_for_nothing_but_the_acknowledgement_does() -> None:
    saga = _saga(item=AWAITING, coupon=YES)
    rules.deadline(saga)
    saga.releases.clear()
    rules.hear(saga, "item", Signal.YES)
    rules.hear(saga, "item", Signal.NO, reason="released")
    assert _states(saga) == {"item": RELEASING, "coupon": RELEASING}
    assert saga.releases == []
    rules.hear(saga, "item", Signal.RELEASED)
    rules.hear(saga, "coupon", Signal.RELEASED)
    assert (saga.status, saga.settled, saga.reason) == (CANCEL, True, "timeout")


# Cancelling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "reason"), [("buyer", "cancelled_by_buyer"), ("admin", "cancelled_by_admin")])
def test_cancelling_a_completed_order_takes_everything_back(by: str, reason: str) -> None:
    saga = _saga(COMPLETED, item=YES, coupon=YES)
    assert rules.cancel(saga, by)
    assert (saga.status, saga.settled, saga.reason, saga.reason_details) == (FAIL, False, reason, None)
    assert sorted(saga.releases) == ["coupon", "item"]
    for name in ("item", "coupon"):
        rules.hear(saga, name, Signal.RELEASED)
    assert (saga.status, saga.settled) == (CANCEL, True)
    assert saga.milestones == [Milestone.FAILED, Milestone.CANCELLED]
    assert rules.was_cancelled(saga)


def test_cancelling_a_pending_order_waits_for_the_silent() -> None:
    saga = _saga(item=YES, coupon=AWAITING, payment=AWAITING)
    assert rules.cancel(saga, "buyer")
    assert _states(saga) == {"item": RELEASING, "coupon": AWAITING, "payment": AWAITING}
    rules.hear(saga, "coupon", Signal.YES)
    assert saga.participants["coupon"].state is RELEASING
    rules.hear(saga, "payment", Signal.NO, reason="insufficient_points")
    assert (saga.status, saga.reason) == (FAIL, "cancelled_by_buyer")
    rules.hear(saga, "item", Signal.RELEASED)
    assert not saga.settled
    rules.hear(saga, "coupon", Signal.RELEASED)
    assert (saga.status, saga.settled) == (CANCEL, True)


@pytest.mark.parametrize("status", [FAIL, CANCEL])
def test_what_has_failed_cannot_be_cancelled(status: Status) -> None:
    saga = _saga(status, item=NO, coupon=RELEASING)
    before = copy.deepcopy(saga)
    assert not rules.cancel(saga, "buyer")
    assert saga == before
    assert not rules.was_cancelled(saga)


# Payments ------------------------------------------------------------------------------------------------


def test_the_refund_of_another_payment_is_no_acknowledgement() -> None:
    saga = _saga(COMPLETED, item=YES, payment=YES)
    saga.participants["payment"].payment_id = PAYMENT
    rules.cancel(saga, "admin")
    assert not rules.hear(saga, "payment", Signal.RELEASED, payment_id=UUID(int=8))
    assert saga.participants["payment"].state is RELEASING
    assert rules.hear(saga, "payment", Signal.RELEASED, payment_id=PAYMENT)
    assert saga.participants["payment"].state is RELEASED


def test_a_payment_that_was_never_heard_of_may_be_given_back_under_any_id() -> None:
    saga = _saga(item=YES, payment=AWAITING)
    rules.deadline(saga)
    assert rules.hear(saga, "payment", Signal.RELEASED, payment_id=PAYMENT)
    assert saga.participants["payment"].state is RELEASED


def _others(saga: Saga) -> tuple[object, ...]:
    done = saga.milestones, saga.releases
    return saga.status, saga.reason, saga.settled, saga.paid, saga.participants, *done


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("paid", [False, True])
def test_a_payment_made_later_is_taken_by_a_completed_unpaid_order_alone(status: Status, paid: bool) -> None:
    saga = _saga(status, item=YES if status in (PENDING, COMPLETED) else RELEASED, coupon=AWAITING)
    saga.paid = paid
    before = copy.deepcopy(saga)
    assert rules.hear(saga, "payment", Signal.YES, payment_id=PAYMENT)
    if status is COMPLETED and not paid:
        assert saga.participants["payment"] == Participant(state=YES, payment_id=PAYMENT)
        assert (saga.paid, saga.milestones, saga.rejected) == (True, [Milestone.CONFIRMED], [])
        assert [change.what for change in saga.changes] == ["PAYMENT_COMPLETED", "ORDER_CONFIRMED"]
    else:
        assert saga.rejected == [PAYMENT]
        assert _others(saga) == _others(before)
        assert [(one.what, one.moves) for one in saga.changes] == [("CONFIRMATION_REJECTED", False)]


@pytest.mark.parametrize(("status", "state"), list(product(Status, State)), ids="-".join)
def test_what_is_said_of_another_payment_moves_nothing(status: Status, state: State) -> None:
    for signal in Signal:
        saga = _saga(status, item=YES, payment=state)
        saga.participants["payment"].payment_id = PAYMENT
        saga.paid = status is COMPLETED
        before = copy.deepcopy(saga)
        heard = rules.hear(saga, "payment", signal, payment_id=UUID(int=8), reason="insufficient_points")
        assert heard == (signal is Signal.YES)
        assert saga.rejected == ([UUID(int=8)] if signal is Signal.YES else [])
        assert _others(saga) == _others(before)


def test_a_completed_order_that_is_not_paid_in_time_gives_everything_back() -> None:
    saga = _saga(COMPLETED, item=YES, coupon=YES)
    assert rules.deadline(saga)
    assert (saga.status, saga.settled, saga.reason) == (FAIL, False, "payment_expired")
    assert sorted(saga.releases) == ["coupon", "item"]
    assert saga.was_completed
    assert not rules.was_cancelled(saga)
    for name in ("item", "coupon"):
        rules.hear(saga, name, Signal.RELEASED)
    assert (saga.status, saga.settled) == (CANCEL, True)


def test_an_order_counts_as_paid_until_its_own_payment_was_given_back() -> None:
    saga = _saga(COMPLETED, item=YES)
    rules.hear(saga, "payment", Signal.YES, payment_id=PAYMENT)
    rules.cancel(saga, "admin")
    rules.hear(saga, "item", Signal.RELEASED)
    rules.hear(saga, "payment", Signal.RELEASED, payment_id=UUID(int=8))
    assert (saga.paid, saga.settled) == (True, False)
    rules.hear(saga, "payment", Signal.RELEASED, payment_id=PAYMENT)
    assert (saga.paid, saga.status, saga.settled) == (False, CANCEL, True)
    assert "PAYMENT_REFUNDED" in [change.what for change in saga.changes]


# History -------------------------------------------------------------------------------------------------


def test_the_history_tells_each_step_once() -> None:
    saga = _saga(item=AWAITING, coupon=AWAITING)
    for _ in range(2):
        rules.hear(saga, "coupon", Signal.YES)
    rules.hear(saga, "item", Signal.NO, reason="price_changed", details={"item_id": 1})
    for _ in range(2):
        rules.hear(saga, "coupon", Signal.RELEASED)
    assert [(change.what, change.participant) for change in saga.changes] == [
        ("COUPON_APPLIED", "coupon"),
        ("STOCK_REJECTED", "item"),
        ("ORDER_FAILED", None),
        ("RELEASE_REQUESTED", "coupon"),
        ("COUPON_RESTORED", "coupon"),
        ("ORDER_CANCELLED", None),
    ]


def test_the_transition_table_is_this_one() -> None:
    moves = {combination: State(cell) for combination, cell in EXPECTED.items() if cell not in ("-", "!")}
    assert moves == {
        (status, *told): state for status in Status for told, state in rules.transitions(status).items()
    }
