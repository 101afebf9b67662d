"""The timeline of one order, made of what its services wrote down."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from ops import trace
from ops.databases import Row
from ops.shop import Change, Order, Participant

START = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)


def at(milliseconds: int) -> datetime:
    """So long after the order was placed."""
    return START + timedelta(milliseconds=milliseconds)


def claim(state: str, decided: int, released: int | None = None, **more: Any) -> Row:
    """A claim row, with naive times as the database gives them."""
    return {
        "state": state,
        "reason": None,
        "details": None,
        "decided_at": at(decided).replace(tzinfo=None),
        "released_at": None if released is None else at(released).replace(tzinfo=None),
        **more,
    }


def order(*history: Change) -> Order:
    """An order that coupon refused."""
    return Order(
        id="01a1fccf-9215-7008-b9ee-33999ed2ff40",
        status="CANCEL",
        reason="coupon_invalid",
        settled=True,
        paid=False,
        total=46_800,
        participants=[Participant("item", "RELEASED"), Participant("coupon", "NO")],
        history=list(history),
        version=5,
        created_at=START,
    )


REFUSED = order(
    Change(at(0), "ORDER_CREATED", None, "PENDING"),
    Change(at(20), "STOCK_DEDUCTED", "item", "PENDING"),
    Change(at(30), "COUPON_REJECTED", "coupon", "FAIL", {"reason": "coupon_invalid", "silent": ["a", "b"]}),
    Change(at(30), "RELEASE_REQUESTED", "item", "FAIL"),
    Change(at(50), "ORDER_CANCELLED", None, "CANCEL"),
)


def test_what_all_services_did_stands_in_the_order_of_time() -> None:
    claims = {
        "item": claim("RELEASED", 10, 40),
        "coupon": claim("REJECTED", 15, reason="coupon_invalid", details='{"user_coupon_id": 7}'),
    }

    steps = trace.timeline(REFUSED, claims, {})

    assert [(step.service, step.what, step.details) for step in steps] == [
        ("order", "order created", ""),
        ("item", "claims it: yes", ""),
        ("coupon", "refuses", "reason coupon_invalid, user_coupon_id 7"),
        ("order", "stock deducted", ""),
        ("order", "coupon rejected", "reason coupon_invalid, silent a and b"),
        ("order", "release requested from item", ""),
        ("item", "has given back", ""),
        ("order", "order cancelled", ""),
    ]


def test_an_order_released_before_it_was_heard_of_is_told_as_such() -> None:
    [*_, step] = trace.timeline(order(), {"coupon": claim("RELEASED", 40, 40)}, {})

    assert step.what == "had taken nothing, and never will for this order"


def test_events_that_have_not_left_are_shown() -> None:
    row = {"type": "order.placed", "attempts": 3, "created_at": at(1).replace(tzinfo=None)}

    [step] = trace.timeline(order(), {}, {"order": [row]})

    assert (step.service, step.what, step.details) == (
        "order",
        "order.placed waits in the outbox",
        "3 attempts",
    )


def test_the_terminal_shows_times_and_services() -> None:
    console = Console(file=StringIO(), width=140)

    trace.show(console, REFUSED, trace.timeline(REFUSED, {"item": claim("RELEASED", 10, 40)}, {}))

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "CANCEL, coupon_invalid, settled; 46,800 won, unpaid" in printed
    assert "item RELEASED, coupon NO" in printed
    assert "10:00:00.040" in printed
    assert "40.0 ms" in printed


@pytest.mark.parametrize("text", ["", "7", "not-a-uuid", "01a1fccf-9215-7008-b9ee-33999ed2ff4"])
def test_what_is_no_order_id_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        trace.main([text])

    assert caught.value.code == 2
    assert f"{text!r} is not an order id" in capsys.readouterr().err


def test_a_shop_that_is_away_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_GATEWAY_URL", "http://127.0.0.1:1")

    assert trace.main(["01a1fccf-9215-7008-b9ee-33999ed2ff40"]) == 1
    assert "the shop does not answer" in capsys.readouterr().err
