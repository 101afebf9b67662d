"""What must not be left lying: deadlines, releases, and whatever waits with nobody due to look at it."""

from collections.abc import Iterator
from datetime import timedelta

from ops.verify.check import LONG, Check
from ops.verify.order_records import OrderRecords

# A sweep looks for passed deadlines every second or so.
_SWEEP = timedelta(seconds=5)


def _overdue(records: OrderRecords) -> Iterator[str]:
    order = records.order
    if order is None or order.deadline_at is None or order.status == "CANCEL":
        return
    if order.deadline_at < records.facts.now - _SWEEP:
        silent = sorted(name for name, one in records.participants.items() if one.state == "AWAITING")
        yield (
            f"order {records.id}: still {order.status}, although its deadline was {order.deadline_at};"
            f" silent: {', '.join(silent) or 'nobody'}"
        )


def _stuck(records: OrderRecords) -> Iterator[str]:
    order = records.order
    if order is None or order.settled or order.updated_at >= records.facts.now - LONG:
        return
    waiting = {name for name, one in records.participants.items() if one.state == "RELEASING"}
    if records.needs_attention:
        waiting.discard("payment")  # that is told by itself: a person has to decide
    if waiting:
        yield (
            f"order {records.id}: {order.status} since {order.updated_at} ({order.reason or 'no reason'}),"
            f" still waiting for {', '.join(sorted(waiting))} to give back"
        )


def _looked_after(records: OrderRecords) -> Iterator[str]:
    order = records.order
    if order is None:
        return
    for name, one in sorted(records.participants.items()):
        if (one.state == "RELEASING") != (one.release_due_at is not None):
            due = f"asked again at {one.release_due_at}" if one.release_due_at else "never asked again"
            yield f"order {records.id}: {name} is {one.state}, and is {due}"
    states = {one.state for one in records.participants.values()}
    unpaid = order.status == "COMPLETED" and not order.paid and records.facts.unpaid_s > 0
    if order.deadline_at is None and ("AWAITING" in states or unpaid):
        what = "unpaid" if unpaid else "unanswered"
        yield f"order {records.id}: is {order.status} and {what}, but has no deadline"
    if order.deadline_at is not None and order.status != "COMPLETED" and "AWAITING" not in states:
        yield f"order {records.id}: is {order.status} with a deadline, but waits for no answer"
    if order.deadline_at is not None and order.status == "COMPLETED" and order.paid:
        yield f"order {records.id}: is {order.status} and paid, but has a deadline"


PROGRESS_CHECKS = (
    Check("no order is past its deadline", _overdue),
    Check("no order is stuck while giving back", _stuck),
    Check("nothing waits without somebody who will look", _looked_after),
)
