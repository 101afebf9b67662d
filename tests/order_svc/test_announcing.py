"""What is told of an order's changes, without a database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from order_svc import saga as rules
from order_svc.announcing import announcements, release
from order_svc.contracts import (
    ConfirmationRejected,
    HistoryEntry,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    OrderSettled,
    ParticipantView,
    ReleaseCoupon,
    ReleaseItem,
)
from order_svc.saga import Milestone, Participant, Saga, Signal, State, Status
from order_svc.stored import StoredOrder, StoredParticipant
from shared.messages import Event, subject_of

ORDER, PAYMENT, LATER_PAYMENT = UUID(int=1), UUID(int=2), UUID(int=3)
PLACED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = PLACED + timedelta(seconds=2)
ENTRY = HistoryEntry(at=PLACED, what="ORDER_CREATED", participant=None, status="PENDING", details=None)


def _order(status: Status = Status.PENDING, *, pays: bool = True, **states: State) -> StoredOrder:
    saga = Saga(
        status=status,
        pays=pays,
        paid=status is Status.COMPLETED and pays,
        settled=status is Status.COMPLETED,
        reason="out_of_stock" if status is Status.FAIL else None,
        reason_details={"item_id": 5} if status is Status.FAIL else None,
        participants={
            name: Participant(state=state, payment_id=PAYMENT if name == "payment" else None)
            for name, state in states.items()
        },
    )
    return StoredOrder(
        id=ORDER,
        buyer_id=7,
        total=9000,
        pay_with="points" if pays else None,
        version=4,
        created_at=PLACED,
        deadline_at=None,
        extended_at=None,
        saga=saga,
        item_names={5: "Tea"},
        rows={name: StoredParticipant(number, NOW) for number, name in enumerate(states)},
        history=[ENTRY],
    )


def _told(order: StoredOrder) -> list[Event]:
    return list(announcements(order, NOW))


def test_an_order_that_did_not_change_tells_nothing() -> None:
    assert _told(_order(item=State.AWAITING)) == []


def test_the_last_yes_tells_all_that_changed_since_the_order_was_placed_and_that_it_is_paid() -> None:
    order = _order(item=State.YES, payment=State.AWAITING)
    rules.hear(order.saga, "payment", Signal.YES, payment_id=PAYMENT)

    assert _told(order) == [
        OrderCompleted(
            order_id=ORDER,
            buyer_id=7,
            total=9000,
            paid=True,
            version=4,
            participants=[
                ParticipantView(name="item", state="YES", changed_at=NOW),
                ParticipantView(name="payment", state="YES", changed_at=NOW),
            ],
            history=[ENTRY],
            item_names={5: "Tea"},
        ),
        OrderConfirmed(order_id=ORDER, buyer_id=7, total=9000, payment_id=PAYMENT, confirmed_at=NOW),
    ]


def test_an_order_that_is_paid_later_is_completed_first_and_confirmed_then() -> None:
    order = _order(pays=False, item=State.AWAITING)
    rules.hear(order.saga, "item", Signal.YES)
    assert [type(event) for event in _told(order)] == [OrderCompleted]

    order = _order(Status.COMPLETED, pays=False, item=State.YES)
    order.rows["payment"] = StoredParticipant(None, NOW)
    rules.hear(order.saga, "payment", Signal.YES, payment_id=PAYMENT)
    assert _told(order) == [
        OrderConfirmed(order_id=ORDER, buyer_id=7, total=9000, payment_id=PAYMENT, confirmed_at=NOW)
    ]


@pytest.mark.parametrize(
    ("coupon", "settled", "others"),
    [
        (State.AWAITING, False, []),
        (State.YES, False, [ReleaseCoupon(order_id=ORDER)]),
        (State.NO, True, []),
    ],
)
def test_a_no_tells_of_the_failure_and_asks_back_what_was_taken(
    coupon: State, settled: bool, others: list[Event]
) -> None:
    order = _order(item=State.AWAITING, coupon=coupon)
    details: dict[str, Any] = {"item_id": 5}
    rules.hear(order.saga, "item", Signal.NO, reason="out_of_stock", details=details)

    assert _told(order) == [
        *others,
        OrderFailed(
            order_id=ORDER,
            buyer_id=7,
            reason="out_of_stock",
            reason_details=details,
            settled=settled,
            was_completed=False,
        ),
    ]


def test_an_answer_after_the_failure_is_asked_back_without_another_word() -> None:
    order = _order(Status.FAIL, item=State.AWAITING, coupon=State.NO)
    rules.hear(order.saga, "item", Signal.YES)

    assert _told(order) == [ReleaseItem(order_id=ORDER)]


def test_what_was_completed_says_so_when_it_is_called_off() -> None:
    order = _order(Status.COMPLETED, item=State.YES, payment=State.YES)
    rules.cancel(order.saga, "buyer")

    *releases, failed = _told(order)
    assert [release.wire_name for release in map(type, releases)] == [
        "order.release.item",
        "order.release.payment",
    ]
    assert isinstance(failed, OrderFailed)
    assert (failed.was_completed, failed.settled, failed.reason) == (True, False, "cancelled_by_buyer")


def test_the_last_release_tells_that_the_order_is_cancelled() -> None:
    order = _order(Status.FAIL, item=State.NO, coupon=State.RELEASING)
    rules.hear(order.saga, "coupon", Signal.RELEASED)

    assert _told(order) == [OrderCancelled(order_id=ORDER, buyer_id=7, reason="out_of_stock")]


def test_a_failed_order_that_comes_to_rest_with_nothing_to_give_back_tells_so() -> None:
    order = _order(Status.FAIL, item=State.NO, coupon=State.AWAITING)
    rules.hear(order.saga, "coupon", Signal.NO, reason="coupon_used")

    assert _told(order) == [
        OrderSettled(order_id=ORDER, buyer_id=7, reason="out_of_stock", reason_details={"item_id": 5})
    ]


@pytest.mark.parametrize(
    ("status", "pays", "reason"),
    [(Status.COMPLETED, True, "paid"), (Status.FAIL, True, "out_of_stock"), (Status.PENDING, False, None)],
)
def test_a_payment_that_is_not_wanted_is_rejected_for_a_reason(
    status: Status, pays: bool, reason: str | None
) -> None:
    order = _order(status, pays=pays, item=State.YES)
    order.saga.rejected.append(LATER_PAYMENT)

    rejected = ConfirmationRejected(
        order_id=ORDER, payment_id=LATER_PAYMENT, reason=reason or "not_completed"
    )
    assert _told(order) == [rejected]


def test_every_milestone_has_its_event() -> None:
    order = _order(item=State.YES, payment=State.YES)
    order.saga.milestones.extend(Milestone)

    assert len({type(event) for event in _told(order)}) == len(Milestone)


@pytest.mark.parametrize("name", ["item", "coupon", "payment"])
def test_every_kind_of_release_has_its_event(name: str) -> None:
    event = release(name, ORDER)

    assert (type(event).wire_name, subject_of(event)) == (f"order.release.{name}", str(ORDER))
