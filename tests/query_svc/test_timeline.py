"""An order's events as the steps of its way, in whatever order they arrive."""

import random
from typing import Any

import msgspec
import pytest

from order_svc import contracts as order
from payment_svc import contracts as payment
from query_svc.timeline import Step, Way, way
from shared.ids import new_id
from tests.query_svc.facts_told import Story, at, strange


def tell(story: Story) -> Way:
    """The way of a story, having been heard in any order."""
    events = story.kept()
    found = way(story.order_id, events)
    for seed in range(5):
        random.Random(seed).shuffle(events)  # noqa: S311  no secret
        assert way(story.order_id, events) == found
    return found


def said(step: Step) -> tuple[Any, ...]:
    """A step in short: who, what, which way, and how it ended after how many seconds."""
    end = (step.ended_at - step.started_at).total_seconds() if step.ended_at else None
    return step.service, step.name, "<" if step.backwards else ">", step.outcome, end


def test_an_order_that_everybody_agrees_to() -> None:
    story = Story(participants=["item", "coupon"]).placed().reserved().applied().completed()
    found = tell(story)

    assert [said(step) for step in found.steps] == [
        ("order", "accept order", ">", "done", 0),
        ("item", "reserve stock", ">", "done", 1),
        ("coupon", "apply coupons", ">", "done", 2),
        ("order", "complete order", ">", "done", 0),
    ]
    placed, reserved, applied, _ = story.events
    assert [step.asked_by for step in found.steps[1:3]] == [[placed.id], [placed.id]]
    assert [step.answered_by for step in found.steps[1:3]] == [[reserved.id], [applied.id]]
    assert found.complete
    assert (found.started_at, found.ended_at) == (at(0), at(3))
    assert [(one.service, one.step, one.since) for one in found.waiting_for] == [("buyer", "pay", at(3))]


def test_a_paid_order_waits_for_nobody() -> None:
    found = tell(Story().bought())
    assert found.waiting_for == []
    assert found.order.status == "COMPLETED"
    assert said(found.steps[-1]) == ("order", "confirm order", ">", "done", 0)


def test_an_order_waits_for_whoever_has_not_answered() -> None:
    found = tell(Story(participants=["item", "payment"]).placed().reserved())
    assert [(one.service, one.step, one.since) for one in found.waiting_for] == [
        ("payment", "take payment", at(0))
    ]
    assert found.ended_at is None
    assert found.complete


def test_an_order_that_has_all_its_answers_waits_for_the_decision() -> None:
    found = tell(Story().placed().reserved())
    assert [(one.service, one.step, one.since) for one in found.waiting_for] == [("order", "decide", at(1))]


def test_a_refusal_says_why() -> None:
    found = tell(Story().placed().no_stock().failed("out_of_stock", settled=True))
    refused = found.steps[1]
    assert said(refused) == ("item", "reserve stock", ">", "refused", 1)
    assert (refused.reason, refused.details) == ("out_of_stock", {"item_id": 1, "asked": 1, "left": 0})
    assert (found.steps[2].reason, found.order.settled, found.waiting_for) == ("out_of_stock", True, [])


def test_compensations_go_backwards_and_count_their_attempts() -> None:
    story = Story().bought().failed("cancelled_by_buyer", was_completed=True)
    story.released(acknowledge=False).released(acknowledge=False)
    waiting = tell(story)
    assert [(one.service, one.step, one.since) for one in waiting.waiting_for] == [
        ("item", "restore stock", at(5))
    ]
    story.released(ask=False).cancelled("cancelled_by_buyer")
    found = tell(story)
    back = found.steps[-2]
    assert said(back) == ("item", "restore stock", "<", "done", 2)
    assert (back.attempts, back.asked_by) == (2, [event.id for event in story.events[5:7]])
    assert said(found.steps[-1]) == ("order", "cancel order", "<", "done", 0)
    assert found.complete


def test_a_repeated_answer_is_kept_but_ends_nothing_again() -> None:
    story = Story().placed().reserved().reserved()
    step = tell(story).steps[1]
    assert said(step) == ("item", "reserve stock", ">", "done", 1)
    assert step.answered_by == [event.id for event in story.events[1:]]


def test_who_gave_back_is_not_waited_for() -> None:
    story = Story(participants=["item"]).placed().failed("timeout").released().cancelled("timeout")
    found = tell(story)
    assert said(found.steps[1]) == ("item", "reserve stock", ">", "given_up", 3)
    assert found.waiting_for == []
    assert found.complete


def test_a_later_payment_and_one_that_was_not_wanted() -> None:
    wanted, unwanted = new_id(), new_id()
    story = Story().placed().reserved().completed().captured(wanted).confirmed(wanted).captured(unwanted)
    story.add(order.ConfirmationRejected(order_id=story.order_id, payment_id=unwanted, reason="paid"))
    assert [(one.service, one.step) for one in tell(story).waiting_for] == [("payment", "refund payment")]
    story.add(payment.PaymentRefunded(order_id=story.order_id, payment_id=unwanted, user_id=2, amount=100))
    found = tell(story)
    assert [said(step)[:4] for step in found.steps[3:]] == [
        ("payment", "take payment", ">", "done"),
        ("order", "confirm order", ">", "done"),
        ("payment", "take payment", ">", "done"),
        ("order", "refuse payment", ">", "refused"),
        ("payment", "refund payment", "<", "done"),
    ]
    assert [step.payment_id for step in found.steps if step.service == "payment"] == [
        wanted,
        unwanted,
        unwanted,
    ]
    assert (found.waiting_for, found.complete, found.order.payment_id) == ([], True, wanted)


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_events_are_noticed(missing: int) -> None:
    story = Story().placed().reserved().completed()
    del story.events[missing]
    assert not tell(story).complete


def test_an_unknown_event_is_a_step_like_any_other() -> None:
    story = Story().placed()
    story.events.append(strange("mail.letter_sent", {"order_id": str(story.order_id)}, time=at(9)))
    step = tell(story).steps[-1]
    assert said(step) == ("mail", "letter sent", ">", "done", 0)


def test_an_event_that_cannot_be_read_does_no_harm() -> None:
    story = Story().placed()
    story.events.append(strange("order.completed", {"order_id": str(story.order_id), "total": "?"}))
    found = tell(story)
    assert found.order.status == "PENDING"
    assert "complete order" in [step.name for step in found.steps]


def test_an_answer_from_before_the_question_takes_no_time() -> None:
    story = Story().placed().reserved()
    placed, reserved = story.kept()
    events = [placed, msgspec.structs.replace(reserved, time=at(-5))]
    step = next(step for step in way(story.order_id, events).steps if step.service == "item")
    assert said(step) == ("item", "reserve stock", ">", "done", 0)


def test_a_refund_in_part_is_a_step_of_its_own() -> None:
    payment_id = new_id()
    story = Story().bought(payment_id).partly_refunded(payment_id, 30, 30).partly_refunded(payment_id, 10, 40)
    found = tell(story)
    assert [said(step) for step in found.steps[-2:]] == [("payment", "refund a part", "<", "done", 0)] * 2
    assert [step.details for step in found.steps[-2:]] == [
        {"amount": 30, "refunded": 30},
        {"amount": 10, "refunded": 40},
    ]
    assert (found.order.status, found.order.paid) == ("COMPLETED", True)
    assert (found.waiting_for, found.complete) == ([], True)


def test_a_payment_that_is_kept_answers_the_asking_back() -> None:
    payment_id = new_id()
    story = Story(participants=["item", "payment"]).placed().reserved().captured(payment_id).completed()
    story.confirmed(payment_id).failed("cancelled_by_buyer", was_completed=True)
    story.add(order.ReleasePayment(order_id=story.order_id)).released()
    assert [(one.service, one.step) for one in tell(story).waiting_for] == [("payment", "refund payment")]
    story.payment_kept(payment_id).settled("payment_kept", {"was": "cancelled_by_buyer"})
    found = tell(story)
    back = next(step for step in found.steps if step.backwards and step.service == "payment")
    assert said(back) == ("payment", "refund payment", "<", "refused", 3)
    assert (back.reason, back.details) == ("payment_kept", {"amount": 100, "note": "paid in cash"})
    assert (found.order.status, found.order.reason, found.order.settled) == ("FAIL", "payment_kept", True)
    assert (found.waiting_for, found.complete, found.ended_at) == ([], True, at(10))


def test_what_is_told_for_the_audit_log_is_no_step() -> None:
    story = Story().placed().reserved().completed()
    before = tell(story)
    story.add(
        order.OrderAudited(
            by=1, action="cancel order", target=f"order {story.order_id}", before=None, after=None
        )
    )
    assert [said(step) for step in tell(story).steps] == [said(step) for step in before.steps]
