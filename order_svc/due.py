"""When somebody looks again at what waits for another. Pure.

A state that waits is written together with this time, in one statement, and the tables refuse it without one:
what has no such time is never found again.
"""

from datetime import UTC, datetime, timedelta

from order_svc.saga import Milestone, Saga, Stand, Status
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
    if saga.status is Status.COMPLETED:
        if saga.paid:
            return None
        return payment_due(now, settings) if Milestone.COMPLETED in saga.milestones or was is None else was
    if saga.awaits():
        return was or answers_due(now, settings)
    return None


def participant_due(stand: Stand, now: datetime, settings: OrderSettings) -> datetime | None:
    """When a participant that stands so from now on is asked once more to give back; None for never."""
    return now + pause(0, settings) if stand is Stand.RELEASING else None


def pause(releases: int, settings: OrderSettings) -> timedelta:
    """How long to wait for one that was asked again so often: it doubles each time, up to a bound."""
    return min(timedelta(seconds=settings.order_release_again_s) * 2 ** min(releases, 10), LONGEST_PAUSE)
