"""When somebody looks again at what waits for another. Pure.

A state that waits is written together with this time, in one statement, and the tables refuse it without one:
what has no such time is never found again.
"""

from datetime import UTC, datetime, timedelta
from typing import assert_never

from order_svc.saga import Milestone, Saga, State, Status
from order_svc.settings import OrderSettings

FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The deadline of a completed order that may be paid at any time, while `order_unpaid_s` is 0."""
LONGEST_PAUSE = timedelta(minutes=10)


def answers_due(now: datetime, settings: OrderSettings) -> datetime:
    """Until when participants may answer that are asked now."""
    return now + timedelta(seconds=settings.order_deadline_s)


def payment_due(now: datetime, settings: OrderSettings) -> datetime:
    """Until when an order is to be paid that is completed now."""
    return now + timedelta(seconds=settings.order_unpaid_s) if settings.order_unpaid_s else FOR_EVER


def order_due(saga: Saga, was: datetime | None, now: datetime, settings: OrderSettings) -> datetime | None:
    """Until when an order waits as it stands now, whose deadline `was` this so far; None for nothing.

    It waits for answers until the deadline that it was placed with, and from its completion on for its buyer.
    What it has asked back is due with its participants.
    """
    match saga.status:
        case Status.COMPLETED:
            if saga.paid:
                return None
            is_new = Milestone.COMPLETED in saga.milestones or was is None
            return payment_due(now, settings) if is_new else was
        case Status.PENDING | Status.FAIL:
            return was or answers_due(now, settings) if saga.awaits() else None
        case Status.CANCEL:
            return None
        case _:
            assert_never(saga.status)


def participant_due(state: State, now: datetime, settings: OrderSettings) -> datetime | None:
    """When a participant that stands so from now on is asked once more to give back; None for never."""
    match state:
        case State.RELEASING:
            return now + pause(0, settings)
        case State.AWAITING | State.YES | State.NO | State.RELEASED | State.KEPT:
            return None
        case _:
            assert_never(state)


def pause(releases: int, settings: OrderSettings) -> timedelta:
    """How long to wait for one that was asked again so often: it doubles each time, up to a bound."""
    return min(timedelta(seconds=settings.order_release_again_s) * 2 ** min(releases, 10), LONGEST_PAUSE)
