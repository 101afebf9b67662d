"""The arithmetic and the rules of coupons."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_svc.contracts import CouponKind, CreatePolicy
from coupon_svc.domain import (
    Coupon,
    Line,
    Refusal,
    Stock,
    check_begun,
    check_issue,
    check_terms,
    discounted_price,
    explain,
    judge,
    price_with,
    refusal_of_shape,
    refusal_of_use,
)
from shared.errors import Conflict, RuleBroken
from shared.messages import Rejection

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
THEN = datetime(2026, 1, 15, tzinfo=UTC)
BUYER = 2


def _coupon(number: int = 1, kind: Any = "fixed", value: int = 3_000, **changes: Any) -> Coupon:
    return Coupon(number, BUYER, kind, value, 0, FROM, UNTIL)._replace(**changes)


def _wish(kind: CouponKind, amount: int | None, percent: int | None, until: datetime = UNTIL) -> CreatePolicy:
    return CreatePolicy(
        request_id=uuid4(),
        name="ten",
        kind=kind,
        valid_from=FROM,
        valid_until=until,
        discount_amount=amount,
        discount_percent=percent,
    )


fixed = st.builds(_coupon, st.integers(1, 9), st.just("fixed"), st.integers(1, 10**6))
percentage = st.builds(_coupon, st.integers(1, 9), st.just("percentage"), st.integers(5, 95))
coupons = st.lists(fixed | percentage, max_size=2, unique_by=lambda coupon: coupon.id)
prices = st.integers(0, 10**12)


def test_three_thousand_off_and_then_fifteen_percent() -> None:
    assert discounted_price(49_800, [_coupon(2, "percentage", 15), _coupon(1)]) == 39_780


@pytest.mark.parametrize(
    ("price", "used", "expected"),
    [
        (10_000, [], 10_000),
        (10_000, [("fixed", 7_000)], 5_000),
        (9_999, [("fixed", 7_000)], 5_000),
        (1, [("fixed", 7_000)], 1),
        (0, [("fixed", 7_000)], 0),
        (100, [("percentage", 71)], 29),
        (99, [("percentage", 5)], 94),
        (10_000, [("fixed", 1_000), ("fixed", 6_000)], 4_000),
        (10_000, [("percentage", 10), ("percentage", 50)], 4_500),
        (10**12, [("percentage", 95)], 5 * 10**10),
    ],
)
def test_single_prices(price: int, used: list[tuple[str, int]], expected: int) -> None:
    held = [_coupon(number, kind, value) for number, (kind, value) in enumerate(used, 1)]
    assert discounted_price(price, held) == expected


@given(price=prices, used=coupons)
def test_a_price_does_not_depend_on_the_order_in_which_coupons_are_named(
    price: int, used: list[Coupon]
) -> None:
    assert len({discounted_price(price, order) for order in permutations(used)}) == 1


@given(price=prices, used=coupons)
def test_a_discount_is_within_bounds(price: int, used: list[Coupon]) -> None:
    reduced = discounted_price(price, used)
    assert 0 <= reduced <= price
    least = price
    for coupon in used:
        least = least // 2 if coupon.kind == "fixed" else least * (100 - coupon.value) // 100
    # Each step rounds by less than one won, and a later step can only make that smaller.
    assert reduced >= least - len(used)


@given(price=prices, coupon=fixed)
def test_a_fixed_amount_takes_at_most_half(price: int, coupon: Coupon) -> None:
    assert price - discounted_price(price, [coupon]) == min(coupon.value, price // 2)


@given(price=prices, coupon=percentage)
def test_a_percentage_is_exact_and_rounds_the_price_down(price: int, coupon: Coupon) -> None:
    reduced = discounted_price(price, [coupon])
    assert reduced * 100 <= price * (100 - coupon.value) < (reduced + 1) * 100


@given(price=prices, used=coupons, floors=st.lists(st.integers(0, 10**12), min_size=2, max_size=2))
def test_a_price_below_the_highest_floor_is_refused(
    price: int, used: list[Coupon], floors: list[int]
) -> None:
    floored = [coupon._replace(floor_price=floor) for coupon, floor in zip(used, floors, strict=False)]
    highest = max([coupon.floor_price for coupon in floored], default=0)
    outcome = price_with(price, floored)
    if isinstance(outcome, Refusal):
        assert outcome.facts == {"price": discounted_price(price, used), "floor_price": highest}
        assert discounted_price(price, used) < highest
    else:
        assert outcome == discounted_price(price, used) >= highest


def _line(*used: int, discounted: int = 46_800, quantity: int = 1, item: int = 1) -> Line:
    return Line(
        item_id=item,
        quantity=quantity,
        unit_price=49_800,
        discounted_price=discounted,
        user_coupon_ids=list(used),
    )


def _judge(*lines: Line, held: list[Coupon] | None = None, at: datetime = THEN) -> list[int] | Rejection:
    known = {coupon.id: coupon for coupon in held or [_coupon(1), _coupon(2, "percentage", 15)]}
    return judge(lines, BUYER, at, known)


def test_good_coupons_are_used() -> None:
    assert _judge(_line(1, 2, discounted=39_780), _line(discounted=49_800, quantity=9)) == [1, 2]


@pytest.mark.parametrize(
    ("lines", "why", "coupon"),
    [
        ([_line(1, 2, 3)], "too_many", 3),
        ([_line(1, 1)], "repeated", 1),
        ([_line(1), _line(1, item=2)], "repeated", 1),
        ([_line(1, quantity=2)], "quantity", 1),
        ([_line(9)], "unknown", 9),
    ],
)
def test_a_bad_coupon_is_named_with_what_is_wrong(lines: list[Line], why: str, coupon: int) -> None:
    outcome = _judge(*lines)
    assert isinstance(outcome, Rejection)
    assert (outcome.reason, outcome.details["why"], outcome.details["user_coupon_id"]) == (
        "coupon_invalid",
        why,
        coupon,
    )


@pytest.mark.parametrize(
    ("coupon", "why"),
    [
        (_coupon(user_id=3), "unknown"),
        (_coupon(used_by=uuid4()), "used"),
        (_coupon(valid_from=THEN + timedelta(microseconds=1)), "not_yet_valid"),
        (_coupon(valid_until=THEN), "expired"),
        (_coupon(floor_price=46_801), "below_floor_price"),
    ],
)
def test_a_coupon_that_cannot_be_used_is_refused_and_explained(coupon: Coupon, why: str) -> None:
    outcome = _judge(_line(1), held=[coupon])
    assert isinstance(outcome, Rejection)
    assert outcome.details["why"] == why
    refusal = refusal_of_use(1, {1: coupon}, BUYER, THEN) or price_with(49_800, [coupon])
    assert isinstance(refusal, Refusal)
    assert explain(refusal).endswith(".")


def test_a_window_opens_with_its_first_moment_and_ends_before_its_last() -> None:
    assert _judge(_line(1), at=FROM) == [1]
    assert _judge(_line(1), at=UNTIL - timedelta(microseconds=1)) == [1]


@pytest.mark.parametrize(("line", "asked"), [(_line(1, discounted=46_799), 46_799), (_line(discounted=1), 1)])
def test_a_price_that_does_not_follow_is_refused(line: Line, asked: int) -> None:
    expected = 46_800 if line.user_coupon_ids else 49_800
    assert _judge(line) == Rejection(
        "discount_mismatch", {"item_id": 1, "asked": asked, "expected": expected}
    )


@given(ids=st.lists(st.integers(1, 4), max_size=4))
def test_the_shape_is_right_for_two_different_coupons_or_fewer(ids: list[int]) -> None:
    assert (refusal_of_shape(ids) is None) == (len(ids) <= 2 and len(set(ids)) == len(ids))


@pytest.mark.parametrize(
    ("kind", "amount", "percent", "until", "fields"),
    [
        ("fixed", None, None, UNTIL, {"discount_amount"}),
        ("fixed", 1, 5, UNTIL, {"discount_percent"}),
        ("percentage", 1, None, UNTIL, {"discount_amount", "discount_percent"}),
        ("percentage", None, 5, FROM, {"valid_until"}),
    ],
)
def test_terms_that_do_not_fit_are_all_named(
    kind: CouponKind, amount: int | None, percent: int | None, until: datetime, fields: set[str]
) -> None:
    with pytest.raises(RuleBroken) as refused:
        check_terms(_wish(kind, amount, percent, until))
    assert {error.field for error in refused.value.errors} == fields


def test_terms_that_fit_give_the_value() -> None:
    assert check_terms(_wish("fixed", 3_000, None)) == 3_000
    assert check_terms(_wish("percentage", None, 15)) == 15


STOCK = Stock("Ten", FROM, UNTIL, quantity=10, issued=8, per_user_limit=2)


def test_coupons_are_issued_while_there_are_any() -> None:
    check_issue(STOCK, {1: 1}, [1, 2], THEN)
    with pytest.raises(Conflict, match="2 are left"):
        check_issue(STOCK, {}, [1, 2, 3], THEN)
    with pytest.raises(Conflict, match="gone"):
        check_issue(STOCK._replace(issued=10), {}, [1], THEN)
    check_issue(STOCK._replace(quantity=None, per_user_limit=None), {1: 99}, list(range(1, 999)), THEN)


def test_nobody_gets_more_than_the_limit() -> None:
    with pytest.raises(Conflict, match="user 2"):
        check_issue(STOCK, {2: 2, 1: 1}, [1, 2], THEN)


def test_a_policy_has_its_time() -> None:
    with pytest.raises(RuleBroken):
        check_issue(STOCK, {}, [1], UNTIL)
    with pytest.raises(RuleBroken):
        check_begun(STOCK, FROM - timedelta(seconds=1))
    check_begun(STOCK, FROM)


def test_a_grant_names_each_user_once() -> None:
    with pytest.raises(RuleBroken):
        check_issue(STOCK, {}, [1, 1], THEN)
