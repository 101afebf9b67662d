"""What follows from the PG's answers: every state with every finding, and whole histories of them."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payment_svc import domain, settling
from payment_svc.contracts import PaymentCaptured, PaymentDeclined, PaymentKept, PaymentRefunded
from payment_svc.domain import WAITING, Payment, State
from payment_svc.pgs import Entry, Finding, Notice, Report
from shared.errors import Conflict

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RULES = settling.Rules(patience_s=60.0, ask_again_s=1.0, confirm_window_s=600.0)
LONG_AGO = NOW - timedelta(hours=1)
REFUND = UUID(int=9)


def _payment(state: State, **changes: Any) -> Payment:
    """A card payment of 1,000 won, charged a moment ago where it was charged."""
    fields: dict[str, Any] = {
        "order_id": UUID(int=1),
        "user_id": 7,
        "method": "card",
        "amount": 1_000,
        "card_key": "pay_1",
        "asks": 1,
        "asked_at": NOW - timedelta(seconds=1),
        "created_at": NOW - timedelta(seconds=2),
        "ask_due_at": NOW,
        **changes,
    }
    return Payment(payment_id=UUID(int=2), state=state, **fields)


def _settled(payment: Payment, finding: Finding, returned: int = 0, now: datetime = NOW) -> Payment:
    code = "" if finding is Finding.CHARGED else "CODE"
    return settling.settled(payment, Report(finding, returned, code, "why"), now, RULES)


AT_ONCE: dict[tuple[State, Finding], State] = {
    (State.ASKING, Finding.CHARGED): State.HELD,
    (State.ASKING, Finding.REFUSED): State.REJECTED,
    (State.ASKING, Finding.CANCELLED): State.REJECTED,
    (State.RELEASING, Finding.CANCELLED): State.RELEASED,
    (State.RELEASING, Finding.REFUSED): State.RELEASED,
    (State.RELEASING, Finding.STAYS_CHARGED): State.NEEDS_ATTENTION,
    (State.REJECTED, Finding.CHARGED): State.RELEASING,
    (State.RELEASED, Finding.CHARGED): State.RELEASING,
    (State.NEEDS_ATTENTION, Finding.CANCELLED): State.RELEASED,
}
"""Where one answer leads from each state; nowhere else, while the charge may still be on its way."""


@pytest.mark.parametrize(("state", "finding"), list(product(State, Finding)), ids="-".join)
def test_one_answer_moves_what_it_decides_and_nothing_else(state: State, finding: Finding) -> None:
    after = _settled(_payment(state), finding)
    assert after.state is AT_ONCE.get((state, finding), state)
    decides = (state, finding) in AT_ONCE and after.state not in WAITING
    if decides or state is State.KEPT:
        assert finding is Finding.UNKNOWN or after.ask_due_at is None
    elif state in WAITING:
        assert after.ask_due_at is not None
        assert after.ask_due_at > NOW
    if finding is Finding.UNKNOWN:
        assert after == replace(_payment(state), ask_due_at=NOW + timedelta(seconds=2))


@pytest.mark.parametrize(
    ("state", "finding", "after"),
    [
        (State.ASKING, Finding.NOTHING, State.REJECTED),
        (State.RELEASING, Finding.NOTHING, State.RELEASED),
        (State.ASKING, Finding.UNKNOWN, State.ASKING),
        (State.RELEASING, Finding.UNKNOWN, State.RELEASING),
    ],
)
def test_what_was_never_charged_is_given_up_when_no_charge_can_be_on_its_way(
    state: State, finding: Finding, after: State
) -> None:
    asked_at = NOW - timedelta(seconds=61)
    old = _payment(state, created_at=asked_at, asked_at=asked_at)
    assert _settled(old, finding).state is after
    if after is not state:
        settled = _settled(old, finding)
        assert settled.reason == "card_declined"
        assert (settled.refunded, settled.released) == (0, 0)
        # One last look when the PG would not charge it any more.
        assert settled.ask_due_at == asked_at + timedelta(seconds=600)
        assert _settled(settled, Finding.NOTHING, now=NOW + timedelta(seconds=600)).ask_due_at is None
    never = _payment(state, created_at=LONG_AGO, asked_at=None)
    if after is not state:
        assert _settled(never, finding).ask_due_at is None


def test_a_silent_issuer_is_named_so_and_a_refusal_with_the_pg_s_own_code() -> None:
    old = _payment(State.ASKING, created_at=LONG_AGO, asked_at=LONG_AGO)
    assert _settled(old, Finding.NOTHING).details["code"] == "NO_ANSWER"
    assert _settled(old, Finding.REFUSED).details == {"code": "CODE", "message": "why"}


def test_the_pauses_grow_to_half_a_minute() -> None:
    def pause(asks: int) -> float:
        due = _settled(_payment(State.ASKING, asks=asks), Finding.UNKNOWN).ask_due_at
        assert due is not None
        return (due - NOW).total_seconds()

    assert [pause(asks) for asks in (0, 1, 2, 3, 4, 5, 50)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("state", [State.ASKING, State.RELEASING, State.HELD, State.REJECTED, State.RELEASED])
def test_a_contradiction_that_lasts_waits_for_a_person(state: State) -> None:
    report = Report(Finding.CONTRADICTION, 0, "NOT_OURS", "In the answer differs: key.")
    few = settling.settled(_payment(state, asks=settling.ENOUGH_ASKS - 1), report, NOW, RULES)
    assert (few.state, few.ask_due_at is not None) == (state, True)
    after = settling.settled(_payment(state, asks=settling.ENOUGH_ASKS), report, NOW, RULES)
    assert (after.state, after.reason, after.ask_due_at) == (State.NEEDS_ATTENTION, "contradiction", None)
    assert after.details["code"] == "NOT_OURS"
    assert after.details["wanted"] == ("charge" if state in (State.ASKING, State.HELD) else "cancel")


@pytest.mark.parametrize("finding", [Finding.NOTHING, Finding.REFUSED])
def test_what_was_charged_does_not_get_lost(finding: Finding) -> None:
    """A PG that knows nothing of a charge any more contradicts itself, also when it is to be given back."""
    held = _payment(State.HELD, ask_due_at=None)
    released = domain.after_release(held, NOW, patience=timedelta(seconds=30))
    assert released is not None
    for known in (held, released, _settled(_payment(State.REJECTED), Finding.CHARGED)):
        once = _settled(known, finding)
        assert (once.state, once.ask_due_at is not None) == (known.state, True)
        often = _settled(replace(known, asks=5, asked_at=LONG_AGO), finding)
        assert (often.state, often.reason) == (State.NEEDS_ATTENTION, "contradiction")


def test_a_part_given_back_at_the_pg_is_kept_and_never_taken_back() -> None:
    held = _settled(_payment(State.ASKING), Finding.CHARGED, returned=100)
    assert (held.state, held.refunded) == (State.HELD, 100)
    more = _settled(held, Finding.CHARGED, returned=300)
    assert (more.refunded, more.ask_due_at) == (300, None)
    less = _settled(more, Finding.CHARGED, returned=200)
    assert (less.state, less.refunded, less.ask_due_at is not None) == (State.HELD, 300, True)


def test_a_refused_refund_leaves_the_payment_and_says_why_until_the_next() -> None:
    begun = settling.begin_refund(_payment(State.HELD), 400, REFUND, NOW)
    refused = _settled(begun, Finding.STAYS_CHARGED, returned=100)
    assert (refused.state, refused.refunded, refused.refunding) == (State.HELD, 100, 0)
    assert refused.details["refund_refused"] == {"code": "CODE", "message": "why", "amount": 400}
    again = settling.begin_refund(refused, 300, UUID(int=10), NOW)
    assert "refund_refused" not in again.details


def test_a_refused_cancel_needs_attention_and_what_the_pg_gives_back_still_counts_for_the_release() -> None:
    refused = _settled(_payment(State.RELEASING, refunded=100), Finding.STAYS_CHARGED, returned=300)
    assert (refused.state, refused.reason) == (State.NEEDS_ATTENTION, "cancel_refused")
    assert (refused.refunded, refused.released) == (300, 200)
    more = _settled(refused, Finding.CHARGED, returned=500)
    assert (more.state, more.refunded, more.released) == (State.NEEDS_ATTENTION, 500, 400)
    done = _settled(more, Finding.CANCELLED)
    assert (done.state, done.refunded, done.released) == (State.RELEASED, 1_000, 900)


def test_charged_after_all_is_given_back_as_a_whole() -> None:
    late = _settled(_payment(State.REJECTED, reason="card_declined"), Finding.CHARGED)
    assert (late.state, late.ask_due_at, late.asks) == (State.RELEASING, NOW, 0)
    back = _settled(late, Finding.CANCELLED)
    assert (back.state, back.refunded, back.released) == (State.RELEASED, 1_000, 1_000)


def _histories() -> st.SearchStrategy[list[tuple[str, Any]]]:
    answer = st.tuples(st.just("answer"), st.tuples(st.sampled_from(Finding), st.integers(-5, 1_005)))
    release = st.tuples(st.just("release"), st.none())
    part = st.tuples(st.just("part"), st.integers(1, 1_000))
    person = st.tuples(st.just("person"), st.sampled_from(["returned", "kept", "not_charged"]))
    return st.lists(st.one_of(answer, answer, release, part, person), max_size=25)


@settings(deadline=None, max_examples=300)
@given(_histories(), st.booleans(), st.integers(0, 700))
def test_whatever_happens_nothing_waits_unseen_and_no_sum_goes_beyond_its_payment(
    history: list[tuple[str, Any]], is_order: bool, step_s: int
) -> None:
    now = NOW
    payment = _payment(State.ASKING, order_id=UUID(int=1) if is_order else None)
    for kind, what in history:
        before, now = payment, now + timedelta(seconds=step_s)
        if kind == "answer":
            finding, returned = what
            # What the adapter lets through: see `toss._report`.
            returned = min(max(returned, 0), 999) if finding is not Finding.CANCELLED else 1_000
            payment = settling.settled(payment, Report(finding, returned), now, RULES)
            payment = replace(payment, asks=payment.asks + 1)
        elif kind == "release" and is_order:
            payment = domain.after_release(payment, now, patience=timedelta(seconds=30)) or payment
        elif kind == "part" and payment.state is State.HELD and what < payment.left:
            payment = settling.begin_refund(payment, what, UUID(int=what), now)
        elif kind == "person" and payment.state is State.NEEDS_ATTENTION:
            payment = settling.resolved(payment, what, "because")
        assert payment.state not in WAITING or payment.ask_due_at is not None
        assert 0 <= payment.released <= payment.refunded <= 1_000
        assert payment.refunded >= before.refunded
        assert payment.state is State.HELD or not payment.refunding
        assert payment.state not in (State.NEEDS_ATTENTION, State.KEPT) or payment.reason
        if before.state is State.HELD and payment.state is not State.HELD:
            assert payment.state in (State.RELEASING, State.RELEASED, State.NEEDS_ATTENTION)
        told = settling.news(before, payment, now)
        assert len({type(one) for one in told}) == len(told)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(-300, 300)), max_size=8),
    st.integers(0, 300),
    st.sampled_from([0, 1_000]),
)
def test_bought_points_go_back_as_far_as_they_are_there_and_no_further_than_they_came(
    steps: list[tuple[int, int]], balance: int, brought: int
) -> None:
    purchase = _payment(State.HELD, order_id=None)
    balance, credited, missing = balance + brought, brought, 0
    for returned, spent in steps:
        balance = max(0, balance + spent)
        after = replace(purchase, refunded=max(purchase.refunded, returned))
        moved, movement = settling.reversal(purchase, after, balance, credited=credited)
        delta = movement.delta if movement else 0
        wanted = min(after.refunded - purchase.refunded, credited)
        missing += wanted + delta
        balance, credited = balance + delta, credited + delta
        assert balance >= 0
        assert credited >= 0
        assert movement is None or movement.balance == balance
        assert moved.details.get("missing", 0) == missing
        assert (moved.state is State.NEEDS_ATTENTION) == bool(missing)
        purchase = moved
    assert brought or not missing


ATTENTION: dict[str, Any] = {"reason": "cancel_refused", "details": {"wanted": "cancel"}, "ask_due_at": None}


@pytest.mark.parametrize(
    ("outcome", "wanted", "is_order", "after", "refunded"),
    [
        ("returned", "cancel", True, State.RELEASED, 1_000),
        ("returned", "charge", True, State.RELEASED, 1_000),
        ("not_charged", "cancel", True, State.RELEASED, 200),
        ("not_charged", "charge", True, State.RELEASED, 200),
        ("kept", "cancel", True, State.KEPT, 200),
        ("kept", "charge", True, State.HELD, 200),
        ("returned", "cancel", False, State.RELEASED, 1_000),
        ("returned", "charge", False, State.RELEASED, 1_000),
        ("not_charged", "cancel", False, State.RELEASED, 200),
        ("kept", "cancel", False, State.KEPT, 200),
        ("kept", "charge", False, State.HELD, 200),
    ],
)
def test_a_person_closes_what_needs_attention(
    outcome: Any, wanted: str, is_order: bool, after: State, refunded: int
) -> None:
    order_id = UUID(int=1) if is_order else None
    changes = {**ATTENTION, "details": {"wanted": wanted}, "refunded": 200, "order_id": order_id}
    closed = settling.resolved(_payment(State.NEEDS_ATTENTION, **changes), outcome, "because")
    assert (closed.state, closed.refunded, closed.resolved) == (after, refunded, outcome)
    assert closed.details["note"] == "because"
    assert closed.ask_due_at is None
    assert settling.resolved(closed, outcome, "again") == closed
    for other in {"returned", "kept", "not_charged"} - {outcome}:
        with pytest.raises(Conflict, match=f"closed as {outcome}"):
            settling.resolved(closed, other, "no")  # type: ignore[arg-type]


def test_what_became_of_spent_points_says_nothing_of_the_charge() -> None:
    changes = {**ATTENTION, "reason": "points_spent", "refunded": 200, "order_id": None}
    closed = settling.resolved(_payment(State.NEEDS_ATTENTION, **changes), "returned", "because")
    assert (closed.state, closed.refunded) == (State.RELEASED, 200)


@pytest.mark.parametrize("state", sorted(set(State) - {State.NEEDS_ATTENTION}))
def test_what_needs_no_attention_is_not_closed(state: State) -> None:
    with pytest.raises(Conflict, match="does not need attention"):
        settling.resolved(_payment(state), "kept", "why")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (_payment(State.ASKING), _payment(State.HELD), [PaymentCaptured]),
        (_payment(State.ASKING), _payment(State.REJECTED, reason="card_declined"), [PaymentDeclined]),
        (_payment(State.NEEDS_ATTENTION), _payment(State.HELD), [PaymentCaptured]),
        (_payment(State.RELEASING), _payment(State.RELEASED), [PaymentRefunded]),
        (_payment(State.NEEDS_ATTENTION), _payment(State.KEPT), [PaymentKept]),
        (_payment(State.HELD), _payment(State.HELD), []),
        (_payment(State.HELD), _payment(State.HELD, refunded=5), [settling.PaymentPartlyRefunded]),
        (
            _payment(State.ASKING),
            _payment(State.HELD, refunded=5),
            [PaymentCaptured, settling.PaymentPartlyRefunded],
        ),
        (_payment(State.RELEASING), _payment(State.NEEDS_ATTENTION, refunded=5), []),
        (_payment(State.REJECTED), _payment(State.RELEASING), []),
        (_payment(State.ASKING, order_id=None), _payment(State.HELD, order_id=None), []),
        (_payment(State.HELD, order_id=None), _payment(State.RELEASED, order_id=None), []),
    ],
)
def test_what_the_order_is_told(before: Payment, after: Payment, told: list[type]) -> None:
    assert [type(one) for one in settling.news(before, after, NOW)] == told


def test_a_refund_in_part_tells_the_part_and_the_sum() -> None:
    [told] = settling.news(_payment(State.HELD, refunded=100), _payment(State.HELD, refunded=250), NOW)
    assert isinstance(told, settling.PaymentPartlyRefunded)
    assert (told.amount, told.refunded, told.user_id, told.refunded_at) == (150, 250, 7, NOW)


def _all_but(*states: State) -> list[State]:
    return [state for state in State if state not in states]


KNOWN: list[tuple[State, Finding, int, bool]] = [
    (State.HELD, Finding.CHARGED, 0, False),
    (State.HELD, Finding.CHARGED, 100, True),
    (State.HELD, Finding.CHARGED, 200, False),
    (State.RELEASED, Finding.CANCELLED, 1_000, True),
    (State.RELEASED, Finding.REFUSED, 0, True),
    (State.RELEASED, Finding.CHARGED, 0, False),
    (State.REJECTED, Finding.REFUSED, 0, True),
    (State.REJECTED, Finding.CHARGED, 0, False),
    *((state, Finding.CANCELLED, 1_000, False) for state in _all_but(State.RELEASED)),
    *((state, Finding.UNKNOWN, 0, False) for state in State),
]


@pytest.mark.parametrize(("state", "finding", "returned", "is_known"), KNOWN)
def test_which_notices_tell_nothing_new(
    state: State, finding: Finding, returned: int, is_known: bool
) -> None:
    payment = _payment(state, refunded=100 if state is State.HELD else 0)
    assert settling.is_known(payment, Notice("n", finding, returned)) is is_known


LISTED: list[tuple[dict[str, Any], list[int], bool]] = [
    ({"state": State.ASKING}, [1_000], True),
    ({"state": State.RELEASING}, [1_000, -1_000], True),
    ({"state": State.HELD}, [1_000], True),
    ({"state": State.HELD}, [1_000, -100], False),
    ({"state": State.HELD, "refunded": 100}, [1_000, -100], False),
    ({"state": State.HELD, "refunded": 100, "looked_at": NOW + timedelta(minutes=2)}, [-100], True),
    ({"state": State.HELD, "refunded": 100, "looked_at": NOW + timedelta(minutes=2)}, [-101], False),
    ({"state": State.HELD, "refunded": 100, "looked_at": NOW + timedelta(seconds=30)}, [-100], False),
    ({"state": State.REJECTED}, [1_000], False),
    ({"state": State.REJECTED}, [1_000, -1_000], True),
    ({"state": State.RELEASED}, [1_000], False),
    ({"state": State.RELEASED}, [1_000, -1_000], True),
    ({"state": State.RELEASED, "refunded": 1_000}, [1_000, -1_000], True),
    ({"state": State.RELEASED, "refunded": 1_000}, [-400, -600], True),
    ({"state": State.NEEDS_ATTENTION}, [1_000], True),
    ({"state": State.NEEDS_ATTENTION}, [-1_000], False),
]


@pytest.mark.parametrize(("fields", "amounts", "is_known"), LISTED, ids=str)
def test_what_the_list_tells_that_is_not_known(
    fields: dict[str, Any], amounts: list[int], is_known: bool
) -> None:
    listed = settling.Listed()
    for amount in amounts:
        listed = listed.with_entry(Entry("n", amount, "KRW", NOW))
    assert settling.is_listed(_payment(**fields), listed) is is_known
