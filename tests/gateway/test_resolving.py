"""Payments that need a person, and the audit log, at the door."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.operators.audit import AuditEntry, merge
from payment_svc import contracts as payment
from query_svc.dead_letters import contracts as query
from shared.errors import Conflict, NotFound
from tests.gateway.fakes import FakeRpc
from tests.gateway.test_payments import asked, fields
from tests.gateway.test_payments import payment as view

Client = httpx.AsyncClient
PAYMENT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def operators(payment_id: UUID = PAYMENT, **changes: Any) -> payment.OperatorPayment:
    """A payment as operators see it, whose cancel was refused."""
    facts: dict[str, Any] = {
        "id": payment_id,
        "order_id": UUID(int=7),
        "user_id": 2,
        "method": "card",
        "amount": 49_800,
        "refunded": 0,
        "status": "NEEDS_ATTENTION",
        "reason": "cancel_refused",
        "details": {"code": "NOT_CANCELABLE_PAYMENT", "message": "It cannot be cancelled.", "wanted": 49_800},
        "created_at": BEGIN,
        "changed_at": BEGIN,
        "ask_due_at": None,
        "resolution": None,
    }
    return payment.OperatorPayment(**facts | changes)


async def test_those_that_need_attention_are_listed_page_by_page(
    client: Client, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.answers[payment.ListPayments] = lambda _: payment.PaymentPage(items=[operators()], next=PAYMENT)
    page = (await client.get("/ops/payments", headers=admin)).json()
    assert page["next"] == page["items"][0]["id"] == str(PAYMENT)
    assert page["items"][0]["details"]["code"] == "NOT_CANCELABLE_PAYMENT"
    await client.get(f"/ops/payments?status=KEPT&limit=3&after={PAYMENT}", headers=admin)
    assert asked(rpc, payment.ListPayments) == [
        payment.ListPayments(status="NEEDS_ATTENTION", limit=50),
        payment.ListPayments(status="KEPT", limit=3, after=PAYMENT),
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=LOST", "status"),
        ("status=needs_attention", "status"),
        ("status=", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("after=7", "after"),
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused_by_name(
    client: Client, rpc: FakeRpc, admin: dict[str, str], query: str, field: str
) -> None:
    response = await client.get(f"/ops/payments?{query}", headers=admin)
    assert (response.status_code, fields(response)) == (400, [field])
    assert asked(rpc, payment.ListPayments) == []


@pytest.mark.parametrize(
    ("outcome", "status"), [("returned", "REFUNDED"), ("not_charged", "REFUNDED"), ("kept", "KEPT")]
)
async def test_a_person_says_what_became_of_the_money(
    client: Client, rpc: FakeRpc, admin: dict[str, str], outcome: Any, status: str
) -> None:
    rpc.answers[payment.ResolvePayment] = lambda call: view(call.payment_id, status=status)
    wish = {"as": outcome, "reason": "seen on the bank's statement"}
    response = await client.post(f"/ops/payments/{PAYMENT}/resolve", json=wish, headers=admin)
    assert (response.status_code, response.json()["status"]) == (200, status)
    assert asked(rpc, payment.ResolvePayment) == [
        payment.ResolvePayment(
            payment_id=PAYMENT, outcome=outcome, reason="seen on the bank's statement", by=1
        )
    ]


@pytest.mark.parametrize(
    ("wish", "status", "named"),
    [
        ({}, 400, ["as", "reason"]),
        ({"as": "returned"}, 400, ["reason"]),
        ({"reason": "x"}, 400, ["as"]),
        ({"as": "RETURNED", "reason": "x"}, 422, ["as"]),
        ({"as": "lost", "reason": "x"}, 422, ["as"]),
        ({"as": True, "reason": "x"}, 400, ["as"]),
        ({"as": None, "reason": "x"}, 400, ["as"]),
        ({"as": ["kept"], "reason": "x"}, 400, ["as"]),
        ({"outcome": "kept", "reason": "x"}, 400, ["as", "outcome"]),
        ({"as": "kept", "reason": "x", "amount": 5}, 422, ["amount"]),
        ({"as": "kept", "reason": ""}, 422, ["reason"]),
        ({"as": "kept", "reason": "  "}, 422, ["reason"]),
        ({"as": "kept", "reason": "x" * 201}, 422, ["reason"]),
        ({"as": "kept", "reason": "a\0b"}, 422, ["reason"]),
        ({"as": "kept", "reason": 1}, 400, ["reason"]),
    ],
)
async def test_what_does_not_say_what_to_do_does_nothing(
    client: Client, rpc: FakeRpc, admin: dict[str, str], wish: dict[str, Any], status: int, named: list[str]
) -> None:
    response = await client.post(f"/ops/payments/{PAYMENT}/resolve", json=wish, headers=admin)
    assert (response.status_code, sorted(fields(response))) == (status, named)
    assert asked(rpc, payment.ResolvePayment) == []


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("No payment."), 404), (Conflict("It was closed as kept."), 409)]
)
async def test_what_cannot_be_closed_is_told_as_it_is(
    client: Client, rpc: FakeRpc, admin: dict[str, str], error: Exception, status: int
) -> None:
    def refuse(_: payment.ResolvePayment) -> Any:
        raise error

    rpc.answers[payment.ResolvePayment] = refuse
    wish = {"as": "kept", "reason": "x"}
    response = await client.post(f"/ops/payments/{PAYMENT}/resolve", json=wish, headers=admin)
    assert (response.status_code, response.json()["detail"]) == (status, str(error))
    assert (await client.post("/ops/payments/7/resolve", json=wish, headers=admin)).status_code == 404


# The audit log ---------------------------------------------------------------------------------------------


def act(number: int, minute: int) -> query.AuditEntry:
    """What an operator did to a dead letter."""
    return query.AuditEntry(
        id=number,
        at=BEGIN + timedelta(minutes=minute),
        by=1,
        action="redrive",
        target="dead letter 3",
        affected=1,
        reason="mended",
    )


def deed(number: int, minute: int, **changes: Any) -> payment.AuditEntry:
    """What an operator did about money."""
    facts: dict[str, Any] = {
        "id": number,
        "at": BEGIN + timedelta(minutes=minute),
        "by": 1,
        "action": "payment.resolved",
        "subject": str(PAYMENT),
        "details": {"outcome": "kept", "reason": "agreed"},
    }
    return payment.AuditEntry(**facts | changes)


class Logs:
    """Both logs, newest first, page by page."""

    def __init__(self, rpc: FakeRpc, acts: list[query.AuditEntry], deeds: list[payment.AuditEntry]) -> None:
        rpc.answers[query.ListAudit] = lambda call: query.AuditPage(**self._page(acts, call))
        rpc.answers[payment.ListAudit] = lambda call: payment.AuditPage(**self._page(deeds, call))

    def _page(self, entries: list[Any], call: Any) -> dict[str, Any]:
        left = [one for one in entries if call.after is None or one.id < call.after]
        page = left[: call.limit]
        return {"items": page, "next": page[-1].id if len(left) > call.limit else None}


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_both_logs_are_read_as_one_by_time(
    client: Client, rpc: FakeRpc, admin: dict[str, str], limit: int
) -> None:
    minutes = {"query": (9, 8, 5, 1), "payment": (10, 7, 6, 5, 0)}
    Logs(
        rpc,
        [act(40 - place, minute) for place, minute in enumerate(minutes["query"])],
        [deed(9 - place, minute) for place, minute in enumerate(minutes["payment"])],
    )
    seen: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/ops/audit", params={"limit": limit, **after}, headers=admin)).json()
        assert len(page["items"]) <= limit
        seen += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert [one["at"] for one in seen] == sorted((one["at"] for one in seen), reverse=True)
    assert sorted((one["service"], one["id"]) for one in seen) == [
        *(("payment", number) for number in range(5, 10)),
        *(("query", number) for number in range(37, 41)),
    ]


async def test_an_entry_about_money_says_what_and_why(
    client: Client, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    gift = deed(2, 1, action="points.granted", subject="9", details={"delta": 5, "reason": 7})
    Logs(rpc, [], [gift, deed(1, 0)])
    page = (await client.get("/ops/audit?service=payment", headers=admin)).json()
    told = [(one["action"], one["target"], one["reason"], one["affected"]) for one in page["items"]]
    assert told == [
        ("points.granted", "user 9", None, 1),
        ("payment.resolved", f"payment {PAYMENT}", "agreed", 1),
    ]
    assert page["items"][1]["details"] == {"outcome": "kept", "reason": "agreed"}
    assert asked(rpc, query.ListAudit) == []
    del rpc.answers[payment.ListAudit]
    assert (await client.get("/ops/audit?service=query", headers=admin)).status_code == 200
    assert (await client.get("/ops/audit", headers=admin)).status_code == 503


@pytest.mark.parametrize(
    "query", ["after=x", "after=17", "after=-", "after=1-2-3", "after=" + "1" * 30 + "-2", "service=order"]
)
async def test_a_page_that_no_page_named_is_refused(
    client: Client, rpc: FakeRpc, admin: dict[str, str], query: str
) -> None:
    response = await client.get(f"/ops/audit?{query}", headers=admin)
    assert (response.status_code, fields(response)) == (400, [query.partition("=")[0]])


def test_entries_out_of_time_are_neither_lost_nor_doubled() -> None:
    """Ids order each log, times both: where they disagree, no entry may fall between two pages."""

    def log(service: Any, *minutes: int) -> list[AuditEntry]:
        return [
            AuditEntry(
                id=100 - place,
                service=service,
                at=BEGIN + timedelta(minutes=minute),
                by=1,
                action="x",
                target="y",
                affected=1,
                reason=None,
                details=None,
            )
            for place, minute in enumerate(minutes)
        ]

    queried, paid = log("query", 5, 9, 1), log("payment", 7, 3, 8)
    page = merge((queried, False), (paid, False), 4, (None, None))
    for service, entries in (("query", queried), ("payment", paid)):
        taken = [one for one in page.items if one.service == service]
        assert taken == entries[: len(taken)]
    last = {one.service: one.id for one in page.items}
    assert page.next == f"{last['query']}-{last['payment']}"
