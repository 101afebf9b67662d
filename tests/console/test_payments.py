"""The console's page of payments that need a person, and what waits as its menu counts it."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest

from gateway.console import menu, pages, payments
from payment_svc.contracts import AuditPage as PaymentAudit
from payment_svc.contracts import (
    ListAudit,
    ListPayments,
    OperatorPayment,
    PaymentPage,
    Resolution,
    ResolvePayment,
)
from query_svc.dead_letters import contracts as query
from shared.errors import Conflict
from tests.console.conftest import Console
from tests.console.streams import listening
from tests.gateway.fakes import FakeRpc
from tests.gateway.test_payments import payment
from tests.gateway.test_resolving import BEGIN, PAYMENT, deed, operators

PAGE = "/console/payments"
RESOLVE = f"{PAGE}/{PAYMENT}/resolve"


@pytest.fixture(autouse=True)
def forgetful(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps are shared between tests, what they remember is not; streams look again at once."""
    console.app.state.pop("console_memory", None)
    monkeypatch.setattr(pages, "LOOK_AGAIN_S", 0.02)


def show(rpc: FakeRpc, *found: OperatorPayment, more: UUID | None = None) -> None:
    """Have the payment service list these."""
    rpc.answers[ListPayments] = lambda _: PaymentPage(items=list(found), next=more)


@pytest.fixture
def resolved(rpc: FakeRpc) -> list[ResolvePayment]:
    """What was closed; the payment is there to be closed."""
    calls: list[ResolvePayment] = []

    def resolve(call: ResolvePayment) -> Any:
        calls.append(call)
        return payment(call.payment_id, amount=49_800, status="KEPT")

    show(rpc, operators())
    rpc.answers[ResolvePayment] = resolve
    return calls


async def test_a_payment_is_one_line_with_what_was_said(operator: Console, rpc: FakeRpc) -> None:
    bought = operators(
        UUID(int=8), order_id=None, reason="points_spent", details={"missing": 1500}, refunded=9
    )
    show(rpc, operators(), bought, more=UUID(int=8))
    page = (await operator.get(PAGE)).text
    assert re.findall(r'<tr id="payment-([^"]+)"', page) == [str(PAYMENT), str(UUID(int=8))]
    for part in (
        "cancel refused",
        "NOT_CANCELABLE_PAYMENT: It cannot be cancelled.",
        "wanted 49,800",
        "missing 1,500",
        "₩49,800",
        f'href="/console/orders/{UUID(int=7)}"',
        f'href="{PAGE}?after={UUID(int=8)}"',
    ):
        assert part in page, part
    assert rpc.calls[-1] == ListPayments(status="NEEDS_ATTENTION", limit=50)


async def test_payments_are_found_by_status(operator: Console, rpc: FakeRpc) -> None:
    closed = operators(
        status="KEPT", resolution=Resolution(outcome="kept", reason="<b>agreed</b>", by=1, at=BEGIN)
    )
    show(rpc, closed)
    page = (await operator.get(f"{PAGE}?status=KEPT&after={PAYMENT}")).text
    assert rpc.calls[-1] == ListPayments(status="KEPT", limit=50, after=PAYMENT)
    assert "closed as kept by user 1: &lt;b&gt;agreed&lt;/b&gt;" in page
    assert "/resolve" not in page
    for query_, expected in (("status=LOST", "Expected one of: ASKING"), ("after=7", "Expected an id")):
        answer = await operator.get(f"{PAGE}?{query_}")
        assert answer.status_code == 400
        assert expected in answer.text


@pytest.mark.parametrize("outcome", ["returned", "not_charged", "kept"])
async def test_a_payment_is_closed_after_a_question_for_a_reason(
    operator: Console, resolved: list[ResolvePayment], outcome: str
) -> None:
    page = (await operator.get(PAGE)).text
    assert page.count(f'action="{RESOLVE}"') == page.count("Reason, or how you know") == 1
    assert re.findall(r'<option value="(\w+)"', page) == ["returned", "not_charged", "kept"]
    answer = await operator.act(PAGE, RESOLVE, **{"as": outcome, "reason": " on the statement "})
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert [(one.outcome, one.reason, one.by) for one in resolved] == [(outcome, "on the statement", 1)]
    said = (await operator.get(PAGE)).text
    assert f"The payment of ₩49,800 is closed as {outcome.replace('_', ' ')}." in said


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"as": "lost", "reason": "x"}, 422, "Expected one of: returned, kept, not_charged"),
        ({"as": "", "reason": "x"}, 422, "Expected one of: returned, kept, not_charged"),
        ({"reason": "x"}, 422, "Expected one of: returned, kept, not_charged"),
        ({"as": "kept"}, 422, "Expected 1 to 200 characters"),
        ({"as": "kept", "reason": "  "}, 422, "Expected 1 to 200 characters"),
        ({"as": "kept", "reason": "x" * 201}, 422, "Expected 1 to 200 characters"),
        ({"as": "kept", "reason": "x", "form_token": "0" * 64}, 403, ""),
    ],
)
async def test_what_does_not_say_what_to_do_does_nothing(
    operator: Console, resolved: list[ResolvePayment], fields: dict[str, str], status: int, said: str
) -> None:
    form = {"form_token": operator.form_token, "request_id": str(PAYMENT)}
    answer = await operator.post(RESOLVE, data=form | fields)
    assert answer.status_code == status
    assert said in answer.text
    assert resolved == []


@pytest.mark.parametrize("back", ["https://evil.test", "/console/payments/../audit", "//evil.test", ""])
async def test_nobody_is_led_elsewhere(operator: Console, resolved: list[ResolvePayment], back: str) -> None:
    answer = await operator.act(PAGE, RESOLVE, **{"as": "kept", "reason": "x", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)


async def test_what_another_has_closed_is_told(operator: Console, rpc: FakeRpc) -> None:
    def refuse(_: ResolvePayment) -> Any:
        raise Conflict("It was closed as returned.")

    show(rpc, operators())
    rpc.answers[ResolvePayment] = refuse
    answer = await operator.act(PAGE, RESOLVE, **{"as": "kept", "reason": "x"})
    assert answer.status_code == 409
    assert "It was closed as returned." in answer.text


async def test_a_new_one_comes_by_itself(operator: Console, rpc: FakeRpc) -> None:
    show(rpc)
    assert "✓ No payment needs a person." in (await operator.get(PAGE)).text
    async with listening(operator.app, f"{PAGE}?version=older", operator.cookies) as stream:
        await stream.next()
        show(rpc, operators())
        assert "NOT_CANCELABLE_PAYMENT" in (await stream.next()).data


def test_what_names_a_card_is_never_shown() -> None:
    details = {
        "code": "X",
        "message": "m" * 1000,
        "paymentKey": "tviva2024",
        "payment_key": "tviva2024",
        "found": {"paymentKey": "tviva2024"},
        "is_final": True,
        "status": "DONE",
    }
    said, facts = payments.told(details)
    assert facts == [("is final", "True"), ("status", "DONE")]
    assert said == "X: " + "m" * payments.LONGEST_SAID + "…"
    assert payments.told({}) == ("", [])


# The menu, and the audit log -------------------------------------------------------------------------------


async def test_the_menu_counts_what_waits(operator: Console, rpc: FakeRpc) -> None:
    show(rpc, *(operators(UUID(int=number)) for number in range(1, 101)), more=UUID(int=100))
    dead = [query.DeadCount(queue="a", dead=1000), query.DeadCount(queue="b", dead=234)]
    rpc.answers[query.CountDeadLetters] = lambda _: query.DeadCounts(queues=dead)
    counts = {"dead-letters": "1,234", "payments": "100+"}
    page = (await operator.get(PAGE)).text
    for address, count in counts.items():
        assert re.search(
            rf'href="/console/{address}"[^>]*>[^<]+</a><b class="count"[^>]*>{re.escape(count)}<', page
        )


async def test_a_menu_is_there_without_its_counts(
    operator: Console, rpc: FakeRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'class="count"' not in (await operator.get("/console/audit")).text
    show(rpc)
    rpc.answers[query.CountDeadLetters] = lambda _: query.DeadCounts(queues=[])
    operator.app.state.pop("console_memory", None)
    assert 'class="count"' not in (await operator.get(PAGE)).text

    async def never(_: ListPayments) -> PaymentPage:
        await asyncio.Event().wait()
        raise AssertionError

    operator.app.state.pop("console_memory", None)
    rpc.answers[ListPayments] = never
    monkeypatch.setattr(menu, "PATIENCE_S", 0.01)
    assert (await operator.get("/console/nowhere")).status_code == 404


async def test_the_audit_log_has_what_was_done_about_money(operator: Console, rpc: FakeRpc) -> None:
    rpc.answers[ListAudit] = lambda _: PaymentAudit(items=[deed(3, 1)], next=3)
    rpc.answers[query.ListAudit] = lambda _: query.AuditPage(items=[], next=None)
    page = (await operator.get("/console/audit")).text
    for part in ("payment.resolved", f"payment {PAYMENT}", "agreed", 'href="/console/audit?after=-3"'):
        assert part in page, part
    assert (await operator.get("/console/audit?after=-3")).status_code == 200
    assert (await operator.get("/console/audit?after=x")).status_code == 400
