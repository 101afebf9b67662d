"""What events mean to the read side, as pure rules."""

import random
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_svc.domain import (
    Changes,
    Order,
    buckets,
    count,
    end_of,
    hour_of,
    keep,
    learn,
    start_of,
)
from query_svc.told import OrderEvent, read
from tests.query.told_events import NOON, Story, line, strange

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


def told_of(story: Story) -> list[tuple[OrderEvent, datetime]]:
    """What a story tells of the order itself."""
    news = [(read(one.event_type, one.event_data), one.time) for one in story.kept()]
    return [(one, at) for one, at in news if isinstance(one, OrderEvent)]


@pytest.mark.parametrize(("story", "stand"), list(zip(WAYS, STANDS, strict=True)), ids=str)
def test_an_order_stands_where_its_events_say_in_whatever_order(
    story: Story, stand: tuple[str, bool, str]
) -> None:
    news = told_of(story)
    orders: list[Order] = []
    for seed in range(10):
        random.Random(seed).shuffle(news)  # noqa: S311  no secret
        order = Order(order_id=story.order_id, last_event_at=news[0][1])
        for one, at in news:
            learn(order, one, at)
        assert (order.status, order.settled, order.sale) == stand
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
    count(changes, order, "none", [line(7, 2, 30)])  # type: ignore[list-item]
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
        ("order.completed", "COMPLETED"),
        ("nobody.knows", "COMPLETED"),
    ],
)
def test_an_event_says_where_its_saga_stands(kind: str, status: str) -> None:
    kept = keep(strange(kind, {}), 1)
    assert (kept.status, kept.service, kept.event_data) == (status, kind.partition(".")[0], "{}")
