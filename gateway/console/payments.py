"""Payments that need a person: what the payment gateway said of each, and closing them with a reason."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args
from uuid import UUID

from litestar import Response, get, post
from litestar.params import PathParameter
from litestar.response import Stream
from msgspec import Struct

from gateway.console import pages, words
from gateway.console.filters import Query, takes
from gateway.console.forms import Form, fields
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import FINANCE
from payment_svc.contracts import ListPayments, OperatorPayment, Outcome, PaymentStatus, ResolvePayment
from shared.errors import FieldError, RuleBroken

PAGE = "/console/payments"
STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
ATTENTION: PaymentStatus = "NEEDS_ATTENTION"
SHOWN = 50
LONGEST_REASON = 200
LONGEST_SAID = 300

PaymentId = Annotated[UUID, PathParameter(description="The payment's id.")]


class Row(Struct, frozen=True):
    """A payment on the page, with what was said of it in words."""

    payment: OperatorPayment
    said: str
    facts: list[tuple[str, str]]


@get("/payments", opt=FINANCE | takes("status", "q", "after"))
async def list_payments(request: ConsoleRequest) -> Response[str] | Stream:
    """Payments of one status, the one that stands so longest first; at first those that need a person."""
    query = Query(request)
    chosen: PaymentStatus | None = query.one_of("status", STATUSES)
    status = chosen or ATTENTION
    after = query.uuid("after")

    async def load() -> pages.Facts:
        page = await request.rpc.call(ListPayments(status=status, limit=SHOWN, after=after))
        return {
            "rows": rows(page.items),
            "next": query.address(after=page.next) if page.next else None,
            "first": query.address(after=None) if after else None,
        }

    order = (ATTENTION, *(one for one in STATUSES if one != ATTENTION))
    tabs = [(one, query.address(status=one, after=None)) for one in order]
    around = {"status": status, "tabs": tabs, "back": query.address(), "closable": status == ATTENTION}
    return await pages.live_page(request, "payments.html", load, **around)


def rows(payments: Sequence[OperatorPayment]) -> list[Row]:
    """Payments as the page shows them."""
    return [Row(payment, *told(payment.details)) for payment in payments]


def told(details: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """What the payment gateway said, and whatever else is known; never what names a card."""
    said = ": ".join(_short(details[name]) for name in ("code", "message") if details.get(name))
    facts = [
        (words.plainly(name), _short(value))
        for name, value in details.items()
        if name not in ("code", "message") and isinstance(value, str | int) and "key" not in name.lower()
    ]
    return said, facts


def _short(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return words.number(value)
    text = str(value)
    return text if len(text) <= LONGEST_SAID else f"{text[:LONGEST_SAID]}…"


@post("/payments/{payment_id:str}/resolve", opt=FINANCE | fields("as", "reason", "back"), status_code=200)
async def resolve(request: ConsoleRequest, payment_id: PaymentId) -> Response[str]:
    """Close a payment. The payment service writes it into the audit log, together with the change."""
    form = Form(request)
    outcome: Outcome = form.one_of("as", OUTCOMES)
    reason = form.text("reason") or ""
    if not 1 <= len(reason) <= LONGEST_REASON:
        error = FieldError("reason", f"Expected 1 to {LONGEST_REASON} characters")
        raise RuleBroken("Say how you know, or why.", errors=[error])
    call = ResolvePayment(payment_id=payment_id, outcome=outcome, reason=reason, by=request.user.id)
    payment = await request.rpc.call(call)
    said = f"The payment of {words.won(payment.amount)} is closed as {words.plainly(outcome)}."
    return pages.see_other(request, _back(form), said=said)


def _back(form: Form) -> str:
    """The page that the form stood on."""
    where = form.text("back") or ""
    return where if where.partition("?")[0] == PAGE else PAGE


routes = [list_payments, resolve]
