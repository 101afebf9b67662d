"""What must hold of an order by itself: its state, its total, its history."""

from collections.abc import Iterator

from ops.verify.check import Check
from ops.verify.order_records import OrderRecords
from order_svc.saga import HISTORY as ANSWERS

_STANDS = {"yes": "YES", "no": "NO", "released": "RELEASED", "kept": "KEPT"}
_MOVES = {(name, what): _STANDS[signal.value] for (name, signal), what in ANSWERS.items()}
_MOVES["payment", "PAYMENT_KEPT"] = "KEPT"
# From where a participant may come to stand there.
_BEFORE = {
    "YES": ("AWAITING",),
    "NO": ("AWAITING",),
    "RELEASING": ("AWAITING", "YES"),
    "RELEASED": ("RELEASING",),
    "KEPT": ("RELEASING",),
}
_GIVING_BACK = ("RELEASING", "RELEASED", "KEPT")
_ONCE = (
    "ORDER_CREATED",
    "ORDER_COMPLETED",
    "ORDER_CONFIRMED",
    "ORDER_FAILED",
    "ORDER_CANCELLED",
    "ORDER_SETTLED",
)
# An order never goes back; what is written down together bears the status that all of it led to.
_RANK = {"PENDING": 0, "COMPLETED": 1, "FAIL": 2, "CANCEL": 3}
_LEAST = {
    "ORDER_COMPLETED": 1,
    "ORDER_CONFIRMED": 1,
    "ORDER_FAILED": 2,
    "ORDER_SETTLED": 2,
    "ORDER_CANCELLED": 3,
}
# What has happened, and what has not, to an order of each status.
_HAPPENED = {
    "PENDING": ((), ("ORDER_COMPLETED", "ORDER_FAILED", "ORDER_CANCELLED", "ORDER_SETTLED")),
    "COMPLETED": (("ORDER_COMPLETED",), ("ORDER_FAILED", "ORDER_CANCELLED", "ORDER_SETTLED")),
    "FAIL": (("ORDER_FAILED",), ("ORDER_CANCELLED",)),
    "CANCEL": (("ORDER_FAILED", "ORDER_CANCELLED"), ("ORDER_SETTLED",)),
}


def _states(records: OrderRecords) -> Iterator[str]:
    states = {name: one.state for name, one in records.participants.items()}
    if records.order is None:
        if states:
            yield f"order {records.id}: is unknown, but has participants {', '.join(sorted(states))}"
        return
    yield from _name_payments(records)
    if not _agree(records, set(states.values())):
        shown = ", ".join(f"{name} {state}" for name, state in sorted(states.items())) or "none"
        settled = "yes" if records.order.settled else "no"
        yield (
            f"order {records.id}: is {records.status}, settled {settled}, but its participants are {shown}"
        )


def _name_payments(records: OrderRecords) -> Iterator[str]:
    for name, one in records.participants.items():
        if one.payment_id is not None and name != "payment":
            yield f"order {records.id}: {name} names payment {one.payment_id}"


def _agree(records: OrderRecords, states: set[str]) -> bool:
    order = records.order
    if order is None or "item" not in records.participants:
        return False
    match order.status:
        case "PENDING":
            return not order.settled and "AWAITING" in states and states <= {"AWAITING", "YES"}
        case "COMPLETED":
            return bool(order.settled) and states == {"YES"}
        case "FAIL":
            kept = "KEPT" in states and states <= {"NO", "RELEASED", "KEPT"}
            if kept != (order.reason == "payment_kept"):
                return False
            return "YES" not in states and bool(order.settled) == (kept or states == {"NO"})
        case "CANCEL":
            return bool(order.settled) and "RELEASED" in states and states <= {"NO", "RELEASED"}
        case _:
            return False


def _totals(records: OrderRecords) -> Iterator[str]:
    if records.order is None:
        return
    if records.lines is None:
        yield f"order {records.id}: its lines cannot be read"
        return
    due = sum(line.quantity * line.discounted_price for line in records.lines)
    if records.order.total != due:
        yield f"order {records.id}: the total is {records.order.total}, but its lines come to {due}"


def _histories(records: OrderRecords) -> Iterator[str]:
    if records.order is None:
        if records.history:
            yield f"order {records.id}: is unknown, but has a history of {len(records.history)} entries"
        return
    first, last = (records.history[0], records.history[-1]) if records.history else (None, None)
    if first is None or last is None:
        yield f"order {records.id}: is {records.status}, but has no history"
        return
    if first.what != "ORDER_CREATED":
        yield f"order {records.id}: its history begins with {first.what}"
    if last.status != records.status:
        yield f"order {records.id}: is {records.status}, but its history ends with {last.status}"
    yield from _ranks(records)
    yield from _end(records)
    yield from _places(records)


def _ranks(records: OrderRecords) -> Iterator[str]:
    reached = 0
    for change in records.history:
        rank = _RANK.get(change.status, -1)
        least = max(reached, _LEAST.get(change.what, 0))
        if rank < least or (change.what == "ORDER_CREATED" and rank > 0):
            yield (
                f"order {records.id}: {change.what} is in its history as of an order that is {change.status}"
            )
        reached = max(reached, rank)


def _end(records: OrderRecords) -> Iterator[str]:
    happened, not_happened = _HAPPENED.get(records.status, ((), ()))
    for what in _ONCE:
        times = records.happened(what)
        if times > 1:
            yield f"order {records.id}: {what} stands in its history {times} times"
        if what in happened and not times:
            yield f"order {records.id}: is {records.status}, but {what} is not in its history"
        if what in not_happened and times:
            yield f"order {records.id}: is {records.status}, but {what} is in its history"


def _places(records: OrderRecords) -> Iterator[str]:
    """Where its participants stand by its history, and whether it is paid."""
    states: dict[str, str] = {}
    for change in records.history:
        name = change.participant or ""
        if change.what == "ORDER_COMPLETED":
            yield from _all_agreed(records, states)
        to = "RELEASING" if change.what == "RELEASE_REQUESTED" else _MOVES.get((name, change.what))
        now = states.get(name, "AWAITING")
        if to is None or (to in ("YES", "NO") and now in _GIVING_BACK):
            continue  # not about a participant, or an answer that came too late
        if now not in _BEFORE[to]:
            yield f"order {records.id}: {change.what} of {name} is in its history while {name} is {now}"
        states[name] = to
    for name, one in records.participants.items():
        if states.pop(name, "AWAITING") != one.state:
            yield f"order {records.id}: {name} is {one.state}, but its history says otherwise"
    for name in states:
        yield f"order {records.id}: {name or 'nobody'} is in its history, but is no participant"
    given_back = records.happened("PAYMENT_REFUNDED")
    confirmed = bool(records.happened("ORDER_CONFIRMED"))
    kept = "payment" in records.participants and records.participants["payment"].state == "KEPT"
    if records.order and not kept and bool(records.order.paid) != (confirmed and not given_back):
        paid = "paid" if records.order.paid else "not paid"
        yield f"order {records.id}: is {paid}, but its history says otherwise"


def _all_agreed(records: OrderRecords, states: dict[str, str]) -> Iterator[str]:
    later = {"payment"} if records.order and records.order.pay_with is None else set[str]()
    for name in sorted(records.participants.keys() - later):
        if states.get(name) != "YES":
            yield f"order {records.id}: was completed, but {name} had not agreed by its history"


ORDER_CHECKS = (
    Check("orders agree with their participants", _states),
    Check("order totals add up", _totals),
    Check("histories end where their orders stand", _histories),
)
