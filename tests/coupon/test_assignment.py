"""The cheapest assignment of coupons, against trying every way there is."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupon_svc.assignment import cheapest
from coupon_svc.domain import Coupon, Line, Refusal, judge, price_with
from shared.errors import RuleBroken

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
THEN = datetime(2026, 1, 15, tzinfo=UTC)


def _coupons(*terms: tuple[str, int, int]) -> list[Coupon]:
    return [
        Coupon(number, 2, kind, value, floor, FROM, UNTIL)
        for number, (kind, value, floor) in enumerate(terms, 1)
    ]


def _ways(lines: int, coupons: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """Every way to give each line up to two coupons, each coupon once."""
    if not lines:
        yield []
        return
    for size in (0, 1, 2):
        for chosen in combinations(coupons, size):
            for rest in _ways(lines - 1, [one for one in coupons if one not in chosen]):
                yield [chosen, *rest]


def _cost(prices: Sequence[int], coupons: Sequence[Coupon], way: Sequence[Sequence[int]]) -> int | None:
    known = {coupon.id: coupon for coupon in coupons}
    total = 0
    for price, chosen in zip(prices, way, strict=True):
        reduced = price_with(price, [known[one] for one in chosen])
        if isinstance(reduced, Refusal):
            return None
        total += reduced
    return total


def _least(prices: Sequence[int], coupons: Sequence[Coupon]) -> int:
    costs = [_cost(prices, coupons, way) for way in _ways(len(prices), [coupon.id for coupon in coupons])]
    return min(cost for cost in costs if cost is not None)


money = st.sampled_from([0, 1, 2, 3, 7, 10, 99, 100, 1_000, 1_001, 49_800]) | st.integers(0, 2_000)
terms = st.tuples(st.just("fixed"), st.sampled_from([1, 5, 50, 400, 3_000]), st.just(0)) | st.tuples(
    st.just("percentage"), st.sampled_from([5, 10, 15, 50, 95]), st.just(0)
)
with_floors = st.builds(lambda one, floor: (*one[:2], floor), terms, st.sampled_from([0, 0, 1, 40, 500, 900]))


@settings(max_examples=300, deadline=None)
@given(
    prices=st.lists(money, max_size=3),
    given_terms=st.lists(terms, max_size=5) | st.lists(with_floors, max_size=5),
)
def test_no_way_to_use_the_coupons_is_cheaper(
    prices: list[int], given_terms: list[tuple[str, int, int]]
) -> None:
    coupons = _coupons(*given_terms)
    found = cheapest(prices, coupons)
    assert _cost(prices, coupons, found) == _least(prices, coupons)
    assert len(found) == len(prices)
    used = [one for chosen in found for one in chosen]
    assert len(used) == len(set(used))


@given(prices=st.lists(money, max_size=30), given_terms=st.lists(with_floors, max_size=4))
def test_an_order_of_what_was_found_is_accepted(
    prices: list[int], given_terms: list[tuple[str, int, int]]
) -> None:
    coupons = {coupon.id: coupon for coupon in _coupons(*given_terms)}
    lines = []
    for price, chosen in zip(prices, cheapest(prices, coupons.values()), strict=True):
        reduced = price_with(price, [coupons[one] for one in chosen])
        assert isinstance(reduced, int)
        lines.append(
            Line(item_id=1, quantity=1, unit_price=price, discounted_price=reduced, user_coupon_ids=chosen)
        )
    assert isinstance(judge(lines, 2, THEN, coupons), list)


def test_a_coupon_goes_where_it_saves_most_and_not_where_it_saves_nothing() -> None:
    coupons = _coupons(("fixed", 3_000, 0), ("percentage", 15, 0))
    assert cheapest([49_800], coupons) == [[1, 2]]
    assert cheapest([1_000, 49_800], coupons) == [[], [1, 2]]
    assert cheapest([0, 1], coupons) == [[], [2]]
    assert cheapest([], coupons) == []
    assert cheapest([5, 5], []) == [[], []]


def test_of_equal_coupons_the_one_that_ends_first_is_used() -> None:
    late, soon, later = _coupons(*[("fixed", 10, 0)] * 3)
    coupons = [late, soon._replace(valid_until=UNTIL - timedelta(days=1)), later]
    assert cheapest([100], coupons[:2]) == [[1, 2]]
    assert cheapest([100], [later, coupons[1], late]) == [[1, 2]]


def test_many_lines_and_many_equal_coupons_are_quick() -> None:
    coupons = _coupons(*[("fixed", 3_000, 0)] * 30, *[("percentage", 15, 0)] * 30)
    started = time.perf_counter()
    found = cheapest([49_800 + number for number in range(2_000)], coupons)
    assert sum(map(len, found)) == 60
    assert time.perf_counter() - started < 5


def test_what_cannot_be_found_in_time_is_refused_soon() -> None:
    coupons = _coupons(*(("percentage", 5 + number, number + 1) for number in range(60)))
    started = time.perf_counter()
    with pytest.raises(RuleBroken, match="too different"):
        cheapest(list(range(10_000, 10_060)), coupons)
    assert time.perf_counter() - started < 5
