"""What follows from a PG's answer about a payment, and from a person's decision about it. Pure.

Only what is certain moves a payment: what is not known is asked again, ever more slowly; what the PG refuses
for good, or says in contradiction to what we know, waits for a person.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from payment_svc.contracts import Outcome, PaymentPartlyRefunded
from payment_svc.domain import (
    CHARGED,
    Acknowledgement,
    Movement,
    Payment,
    State,
    Verdict,
    acknowledgement,
    verdict,
)
from payment_svc.pgs import Entry, Finding, Notice, Report
from shared.errors import Conflict

LONGEST_PAUSE_S = 30.0
CLOCKS_APART = timedelta(seconds=60)
"""By so much the PG's clock and ours may differ."""
ENOUGH_ASKS = 5
"""After so many contradictory answers in a row it was no passing disagreement of the PG's machines."""
NO_ANSWER = {"code": "NO_ANSWER", "message": "The card's issuer did not answer."}


class Rules(Struct, frozen=True, kw_only=True):
    """How long the PG may take (seconds): see the settings, and `PaymentGateway.confirm_window_s`."""

    patience_s: float
    ask_again_s: float
    confirm_window_s: float


def settled(payment: Payment, report: Report, now: datetime, rules: Rules) -> Payment:
    """The payment after the PG was asked about it; if it still waits, with the time to ask again."""
    finding = report.finding
    if finding is Finding.UNKNOWN:
        return _again(payment, now, rules)
    if payment.order_id is None and payment.state in (State.HELD, State.NEEDS_ATTENTION):
        purchase = _purchase_given_back(payment, report)
        if purchase is not None:
            return purchase
    match payment.state, finding:
        case State.ASKING, Finding.CHARGED:
            return _at_rest(payment, State.HELD, refunded=report.returned)
        case State.ASKING, Finding.REFUSED | Finding.CANCELLED:
            return _declined(payment, State.REJECTED, report.details())
        case State.ASKING, Finding.NOTHING if _is_over(payment, now, rules):
            return _last_look(_declined(payment, State.REJECTED, NO_ANSWER), now, rules)
        case State.RELEASING, Finding.CANCELLED:
            return _given_back(payment)
        case State.RELEASING, Finding.NOTHING | Finding.REFUSED if payment.was_charged:
            return _contradicted(payment, report, now, rules)
        case State.RELEASING, Finding.REFUSED:
            return _declined(payment, State.RELEASED, report.details())
        case State.RELEASING, Finding.NOTHING if _is_quiet(payment, now, rules):
            return _last_look(_declined(payment, State.RELEASED, report.details()), now, rules)
        case State.RELEASING, Finding.STAYS_CHARGED:
            details = report.details() | {"wanted": "cancel"}
            return _for_a_person(_returned_since(payment, report), "cancel_refused", details)
        case State.HELD, Finding.CHARGED if report.returned >= payment.refunded:
            return _at_rest(payment, State.HELD, refunded=report.returned)
        case State.HELD, Finding.STAYS_CHARGED:
            refused = replace(
                payment, details={"refund_refused": report.details() | {"amount": payment.refunding}}
            )
            return _at_rest(refused, State.HELD, refunded=max(payment.refunded, report.returned))
        case ((State.REJECTED | State.RELEASED), Finding.CHARGED) if report.returned >= payment.refunded:
            # Charged after all: nobody waits for it, so it goes back.
            details = {**payment.details, CHARGED: True}
            taken = replace(payment, details=details, refunded=report.returned, released=0)
            return replace(taken, state=State.RELEASING, asks=0, ask_due_at=now)
        case ((State.REJECTED | State.RELEASED), Finding.NOTHING):
            return _last_look(payment, now, rules)
        case ((State.REJECTED | State.RELEASED), Finding.REFUSED | Finding.CANCELLED | Finding.STAYS_CHARGED):
            return replace(payment, ask_due_at=None)
        case State.NEEDS_ATTENTION, Finding.CANCELLED:
            return _given_back(payment)
        case State.NEEDS_ATTENTION, Finding.CHARGED | Finding.STAYS_CHARGED:
            return replace(_returned_since(payment, report), ask_due_at=None)
        case ((State.NEEDS_ATTENTION | State.KEPT), _):
            return replace(payment, ask_due_at=None)
        case State.HELD, Finding.CANCELLED:
            return _again(payment, now, rules)  # until its order, which is called off, asks for its release
        case ((State.ASKING | State.RELEASING), (Finding.NOTHING | Finding.CHARGED | Finding.STAYS_CHARGED)):
            return _again(payment, now, rules)
        case _:
            return _contradicted(payment, report, now, rules)


class Listed(NamedTuple):
    """What the PG's list of some time says of a number, in won; what happened before that is not in it.

    `returned_at` is when, by the PG's clock, something was given back last.
    """

    charged: int = 0
    returned: int = 0
    returned_at: datetime | None = None

    def with_entry(self, entry: Entry) -> "Listed":
        """This and one entry more."""
        if entry.amount > 0:
            return self._replace(charged=self.charged + entry.amount)
        at = max(entry.at, self.returned_at or entry.at)
        return self._replace(returned=self.returned - entry.amount, returned_at=at)


def is_listed(payment: Payment, listed: Listed) -> bool:
    """Whether the PG's list says nothing that we do not know of the payment already.

    Compared by amounts, since the PG's clock is not ours. But what was given back before the list begins is
    among ours alone: so what it says was given back counts as known only some time after we have looked.
    """
    match payment.state:
        case State.ASKING | State.RELEASING:
            return True  # it is asked about anyway
        case State.REJECTED:
            return listed.charged <= listed.returned
        case State.RELEASED if not payment.refunded:
            return listed.charged <= listed.returned
        case State.HELD | State.RELEASED | State.NEEDS_ATTENTION | State.KEPT:
            if listed.returned_at is None or payment.refunded == payment.amount:
                return True
            looked_at = payment.looked_at
            is_late = looked_at is not None and looked_at > listed.returned_at + CLOCKS_APART
            return is_late and listed.returned <= payment.refunded
        case _:
            assert_never(payment.state)


def is_known(payment: Payment, notice: Notice) -> bool:
    """Whether a notice says nothing that we do not know of the payment already."""
    match payment.state:
        case State.HELD:
            return notice.finding is Finding.CHARGED and notice.returned == payment.refunded
        case State.RELEASED:
            return notice.finding in (Finding.CANCELLED, Finding.REFUSED)
        case State.REJECTED:
            return notice.finding is Finding.REFUSED
        case State.ASKING | State.RELEASING | State.NEEDS_ATTENTION | State.KEPT:
            return False
        case _:
            assert_never(payment.state)


def reversal(
    before: Payment, after: Payment, balance: int, *, credited: int
) -> tuple[Payment, Movement | None]:
    """What takes back the points of a purchase that the PG has given back since `before`, as far as it goes.

    Not more than what is still `credited` of it: a charge that was given up and came after all never brought
    points. What is missing leaves the purchase to a person: no balance goes below zero.
    """
    user_id, wanted = after.user_id, min(after.refunded - before.refunded, credited)
    if user_id is None or after.order_id is not None or wanted <= 0:
        return after, None
    taken = min(wanted, balance)
    missing = wanted - taken + int(before.details.get("missing", 0))
    if missing:
        after = _for_a_person(after, "points_spent", {"missing": missing, "wanted": "cancel"})
    if not taken:
        return after, None
    return after, Movement(
        user_id=user_id,
        delta=-taken,
        balance=balance - taken,
        order_id=None,
        payment_id=after.payment_id,
    )


def resolved(payment: Payment, outcome: Outcome, note: str) -> Payment:
    """A payment as a person closed it. Raises `Conflict` for one that needs none, or was closed otherwise.

    What is kept although nobody wants it back pays for its order, or for points, as if the PG had said so.
    """
    if payment.resolved == outcome and payment.state is not State.NEEDS_ATTENTION:
        return payment
    if payment.state is not State.NEEDS_ATTENTION:
        was = f", closed as {payment.resolved}" if payment.resolved else ""
        raise Conflict(f"The payment is {payment.state}{was}; it does not need attention.")
    closed = replace(payment, resolved=outcome, details={**payment.details, "note": note}, ask_due_at=None)
    match outcome:
        case "returned" if payment.reason != "points_spent":
            return replace(_given_back(closed), resolved=outcome)
        case "returned" | "not_charged":
            return replace(closed, state=State.RELEASED)
        case "kept":
            wanted_back = payment.details.get("wanted") == "cancel"
            return replace(closed, state=State.KEPT if wanted_back else State.HELD)


def news(
    before: Payment, after: Payment, now: datetime
) -> list[Verdict | Acknowledgement | PaymentPartlyRefunded]:
    """What the order, and whoever listens, has to be told of a change of its payment."""
    told: list[Verdict | Acknowledgement | PaymentPartlyRefunded] = []
    if after.order_id is None or after.user_id is None:
        return told
    if after.state is not before.state:
        told += [one for one in [_said_of(after)] if one]
    if after.state is State.HELD and after.refunded > before.refunded:
        told.append(
            PaymentPartlyRefunded(
                order_id=after.order_id,
                payment_id=after.payment_id,
                user_id=after.user_id,
                amount=after.refunded - before.refunded,
                refunded=after.refunded,
                refunded_at=now,
            )
        )
    return told


def _said_of(payment: Payment) -> Verdict | Acknowledgement | None:
    """What is told of a payment that has just come to stand so."""
    match payment.state:
        case State.HELD | State.REJECTED:
            return verdict(payment)
        case State.RELEASED | State.KEPT:
            return acknowledgement(payment)
        case State.ASKING | State.RELEASING | State.NEEDS_ATTENTION:
            return None
        case _:
            assert_never(payment.state)


def begin_refund(payment: Payment, amount: int, refund_id: UUID, ask_at: datetime) -> Payment:
    """A payment of which the PG is about to be asked to give back a part."""
    details = {name: value for name, value in payment.details.items() if name != "refund_refused"}
    return replace(payment, details=details, refunding=amount, refund_id=refund_id, asks=0, ask_due_at=ask_at)


def points_back(payment: Payment, amount: int, balances: Mapping[int, int]) -> list[Movement]:
    """The movement that gives back a part of a payment by points."""
    if payment.user_id is None:
        return []
    return [
        Movement(
            user_id=payment.user_id,
            delta=amount,
            balance=balances[payment.user_id] + amount,
            order_id=payment.order_id,
            payment_id=payment.payment_id,
        )
    ]


def refund_points(payment: Payment, amount: int, refund_id: UUID) -> Payment:
    """A payment by points of which a part was given back."""
    return replace(payment, refunded=payment.refunded + amount, refund_id=refund_id)


def _purchase_given_back(payment: Payment, report: Report) -> Payment | None:
    """A purchase of points of which the PG has given back more, or (None) where this says no such thing."""
    if report.finding is Finding.CANCELLED:
        given_back = replace(payment, refunded=payment.amount or 0, released=payment.left, refunding=0)
        still_open = payment.state is State.NEEDS_ATTENTION
        return _at_rest(given_back, payment.state if still_open else State.RELEASED)
    if report.finding is Finding.CHARGED and report.returned >= payment.refunded:
        return _at_rest(payment, payment.state, refunded=report.returned)
    return None


def _at_rest(payment: Payment, state: State, *, refunded: int | None = None) -> Payment:
    refunded = payment.refunded if refunded is None else refunded
    return replace(payment, state=state, refunded=refunded, refunding=0, asks=0, ask_due_at=None)


def _declined(payment: Payment, state: State, details: dict[str, Any]) -> Payment:
    return replace(_at_rest(payment, state), reason="card_declined", details=details)


def _returned_since(payment: Payment, report: Report) -> Payment:
    """A payment that is to be given back, of which the PG itself has given back a part meanwhile."""
    more = max(0, report.returned - payment.refunded)
    return replace(payment, refunded=payment.refunded + more, released=payment.released + more)


def _given_back(payment: Payment) -> Payment:
    details = {name: value for name, value in payment.details.items() if name != CHARGED}
    return replace(
        _at_rest(payment, State.RELEASED, refunded=payment.amount or 0),
        details=details,
        released=payment.released + payment.left,
    )


def _for_a_person(payment: Payment, reason: str, details: dict[str, Any]) -> Payment:
    return replace(_at_rest(payment, State.NEEDS_ATTENTION), reason=reason, details=details, resolved=None)


def _contradicted(payment: Payment, report: Report, now: datetime, rules: Rules) -> Payment:
    if payment.asks < ENOUGH_ASKS:
        return _again(payment, now, rules)
    said = report.details() or {"message": f"The payment gateway says {report.finding}."}
    wanted = "charge" if payment.state in (State.ASKING, State.HELD) else "cancel"
    return _for_a_person(payment, "contradiction", said | {"wanted": wanted})


def _again(payment: Payment, now: datetime, rules: Rules) -> Payment:
    pause = min(rules.ask_again_s * 2 ** min(payment.asks, 10), LONGEST_PAUSE_S)
    return replace(payment, ask_due_at=now + timedelta(seconds=pause))


def _last_look(payment: Payment, now: datetime, rules: Rules) -> Payment:
    """A charge that was on its way when it was given up may still arrive: look once more when it cannot."""
    if payment.asked_at is None:
        return replace(payment, ask_due_at=None)
    end = payment.asked_at + timedelta(seconds=rules.confirm_window_s)
    return replace(payment, ask_due_at=end if end > now else None)


def _is_over(payment: Payment, now: datetime, rules: Rules) -> bool:
    created_at = payment.created_at
    return created_at is not None and now > created_at + timedelta(seconds=rules.patience_s)


def _is_quiet(payment: Payment, now: datetime, rules: Rules) -> bool:
    """Whether no request to charge it can be on its way any more."""
    return payment.asked_at is None or now > payment.asked_at + timedelta(seconds=rules.patience_s)
