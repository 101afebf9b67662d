"""What events mean to the read side, as pure rules."""

import random
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from query_svc.domain import (
    Changes,
    Order,
    Sale,
    buckets,
    count,
    end_of,
    hour_of,
    keep,
    learn,
    start_of,
)
from query_svc.facts import OrderEvent, read
from tests.query_svc.facts_told import NOON, Story, line, strange

WAYS = [
    Story().placed(),
    Story().placed().reserved().completed(),
    Story().bought(),
    Story().bought().failed("cancelled_by_buyer", was_completed=True),
    Story().bought().called_off(),
    Story().placed().no_stock().failed("out_of_stock", settled=True),
    Story().placed().failed("timeout"),
]
STANDS = [
    ("PENDING", False, "none"),
    ("COMPLETED", True, "none"),
    ("COMPLETED", True, "standing"),
    ("FAIL", False, "called off"),
    ("CANCEL", True, "called off"),
    ("FAIL", True, "none"),
    ("FAIL", False, "none"),
]


PAYMENT, OTHER = UUID(int=7), UUID(int=8)


def a_refunded_order(*ends: str) -> Story:
    """Bought for 450, and 200 of that refunded in two parts, a day and two later; one is told twice."""
    story = Story(line(1, 2), line(2, 3, 50), line(1, 1)).bought(PAYMENT)
    story.partly_refunded(PAYMENT, 150, 150, after_s=86_400)
    story.partly_refunded(PAYMENT, 50, 200, after_s=2 * 86_400)
    story.partly_refunded(PAYMENT, 50, 200, after_s=2 * 86_400 + 7000)
    story.partly_refunded(OTHER, 1, 1, after_s=86_400)
    for end in ends:
        getattr(story, end)()
    return story


def told_of(story: Story) -> list[tuple[OrderEvent, datetime]]:
    """What a story tells of the order itself."""
    news = [(read(one.event_type, one.event_data), one.time) for one in story.kept()]
    return [(one, at) for one, at in news if isinstance(one, OrderEvent)]


@pytest.mark.parametrize(("story", "state"), list(zip(WAYS, STANDS, strict=True)), ids=map(str, STANDS))
def test_an_order_stands_where_its_events_say_in_whatever_order(
    story: Story, state: tuple[str, bool, str]
) -> None:
    news = told_of(story)
    orders: list[Order] = []
    for seed in range(10):
        random.Random(seed).shuffle(news)  # noqa: S311  no secret
        order = Order(order_id=story.order_id, last_event_at=news[0][1])
        for one, at in news:
            learn(order, one, at)
        assert (order.status, order.settled, order.sale.kind) == state
        orders.append(order)
    assert all(order == orders[0] for order in orders)


@given(st.randoms(use_true_random=False), st.integers(0, 10))
def test_figures_are_the_same_in_whatever_portions_they_are_told(dice: random.Random, cut: int) -> None:
    story = Story(line(1, 2), line(2, 3, 50), line(1, 1)).bought().called_off()
    news = told_of(story)
    dice.shuffle(news)
    lines = [line(1, 2), line(2, 3, 50), line(1, 1)]
    order = Order(order_id=story.order_id, last_event_at=NOON)
    changes = Changes()
    was = order.sale
    for number, (one, at) in enumerate(news):
        learn(order, one, at)
        if number >= cut or number == len(news) - 1:
            count(changes, order, was, lines)  # type: ignore[arg-type]
            was = order.sale
    hour = changes.hours[NOON]
    assert (hour.orders, hour.quantity, hour.revenue) == (0, 0, 0)
    assert (hour.cancelled_orders, hour.cancelled_revenue) == (1, 450)
    assert all((one.quantity, one.revenue) == (0, 0) for one in changes.items.values())


@given(st.randoms(use_true_random=False), st.lists(st.booleans(), min_size=14, max_size=14), st.booleans())
def test_refunds_in_part_are_taken_from_their_own_hours_until_the_order_is_called_off(
    dice: random.Random, cuts: list[bool], is_called_off: bool
) -> None:
    """In whatever order and portions they become known."""
    story = a_refunded_order(*["called_off"] if is_called_off else [])
    news = told_of(story)
    dice.shuffle(news)
    lines: list[Any] = [line(1, 2), line(2, 3, 50), line(1, 1)]
    order = Order(order_id=story.order_id, last_event_at=NOON)
    changes, was = Changes(), order.sale
    for number, (one, at) in enumerate(news):
        learn(order, one, at)
        if cuts[number] or number == len(news) - 1:
            count(changes, order, was, lines)
            was = order.sale
    days = {
        (hour - NOON).total_seconds() // 86_400: (one.orders, one.revenue, one.refunded)
        for hour, one in changes.hours.items()
        if any(astuple(one))
    }
    assert days == ({0: (0, 0, 0)} if is_called_off else {0: (1, 450, 0), 1: (0, -150, 150), 2: (0, -50, 50)})
    assert changes.hours[NOON].cancelled_revenue == (450 if is_called_off else 0)
    assert changes.left >= {hour for hour, one in changes.hours.items() if not any(astuple(one))}
    sold = sum(one.revenue for key, one in changes.items.items() if key.period == "all")
    assert sold == (0 if is_called_off else 450), "a ranking tells of lines, and of no line is it said"


@given(st.randoms(use_true_random=False))
def test_an_order_whose_payment_is_kept_failed_for_that_in_whatever_order_it_is_told(
    dice: random.Random,
) -> None:
    details = {"was": "cancelled_by_buyer", "amount": 100, "note": "paid in cash"}
    story = Story().bought(PAYMENT).failed("cancelled_by_buyer", was_completed=True).payment_kept(PAYMENT)
    news = told_of(story.settled("payment_kept", details))
    dice.shuffle(news)
    order = Order(order_id=story.order_id, last_event_at=NOON)
    for one, at in news:
        learn(order, one, at)
    assert (order.status, order.settled, order.paid, order.sale.kind) == ("FAIL", True, True, "called off")
    assert (order.reason, order.reason_details) == ("payment_kept", details)


def test_an_older_telling_of_the_rest_leaves_the_details_of_the_failure() -> None:
    about = f'"order_id":"{PAYMENT}","buyer_id":2,"reason":"timeout"'
    failed = read("order.failed", f'{{{about},"reason_details":{{"silent":["item"]}},"settled":false}}')
    settled = read("order.settled", f"{{{about}}}")
    for news in ((failed, settled), (settled, failed)):
        order = Order(order_id=PAYMENT, last_event_at=NOON)
        for one in news:
            assert isinstance(one, OrderEvent)
            learn(order, one, NOON)
        assert (order.reason, order.reason_details) == ("timeout", {"silent": ["item"]})


def test_a_cancelled_order_is_not_paid_any_more() -> None:
    for story, paid in ((Story().bought(), True), (Story().bought().called_off(), False)):
        order = Order(order_id=story.order_id, last_event_at=NOON)
        for one, at in told_of(story):
            learn(order, one, at)
        assert order.paid is paid


def test_a_sale_counts_in_every_period_that_holds_it() -> None:
    story = Story(line(7, 2, 30)).bought()
    order = Order(order_id=story.order_id, last_event_at=NOON)
    for one, at in told_of(story):
        learn(order, one, at)
    changes = Changes()
    count(changes, order, Sale(), [line(7, 2, 30)])  # type: ignore[list-item]
    assert {(key.period, key.start): (one.quantity, one.revenue) for key, one in changes.items.items()} == {
        ("day", date(2026, 1, 14)): (2, 60),
        ("week", date(2026, 1, 12)): (2, 60),
        ("month", date(2026, 1, 1)): (2, 60),
        ("all", date(1970, 1, 1)): (2, 60),
    }


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_a_period_holds_its_days_and_ends_where_the_next_begins(day: date) -> None:
    for period in ("day", "week", "month"):
        start = start_of(period, day)
        end = end_of(period, start)
        assert start <= day < end
        assert start_of(period, end) == end
        assert start_of(period, end - timedelta(days=1)) == start
    assert start_of("week", day).weekday() == 0


def test_hours_and_buckets_are_in_utc() -> None:
    korean = datetime(2026, 1, 14, 9, 30, tzinfo=timezone(timedelta(hours=9)))
    assert hour_of(korean) == datetime(2026, 1, 14, 0, tzinfo=UTC)
    day = timedelta(days=1)
    assert list(buckets(NOON, NOON + 2 * day, day)) == [NOON, NOON + day]


def test_whatever_is_about_an_order_belongs_to_its_saga() -> None:
    assert keep(strange("a.b", {"order_id": "o"}, correlationid="c"), 1).saga_id == "o"
    assert keep(strange("a.b", {"order_id": 7}, correlationid="c"), 1).saga_id == "c"
    assert keep(strange("a.b", [1], correlationid="c"), 1).saga_id == "c"
    assert keep(strange("a.b", None), 1).saga_id == "7"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("order.placed", "PENDING"),
        ("item.stock_rejected", "FAILED"),
        ("payment.refunded", "COMPENSATED"),
        ("payment.partly_refunded", "COMPENSATED"),
        ("payment.kept", "FAILED"),
        ("order.completed", "COMPLETED"),
        ("nobody.knows", "COMPLETED"),
    ],
)
def test_an_event_says_where_its_saga_stands(kind: str, status: str) -> None:
    kept = keep(strange(kind, {}), 1)
    assert (kept.status, kept.service, kept.event_data) == (status, kind.partition(".")[0], "{}")
