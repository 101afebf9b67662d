"""The cheapest assignment of coupons, against trying every way there is."""

import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupon_svc.assignment import cheapest
from coupon_svc.domain import Coupon, Line, Refusal, judge, price_with, saving
from coupon_svc.spreading import spread

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
THEN = datetime(2026, 1, 15, tzinfo=UTC)


def _coupons(*terms: tuple[Any, int, int]) -> list[Coupon]:
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


def _random_case(seed: int, lines: int, coupons: int) -> tuple[list[int], list[Coupon]]:
    rng = random.Random(seed)  # noqa: S311  cases that stay the same
    prices = [rng.choice([9_900, 19_800, 29_000, 49_800, 89_000, 245_000]) for _ in range(lines)]
    made = []
    for _ in range(coupons):
        floor = rng.choice([0, 0, 10_000, 30_000])
        if rng.random() < 0.5:
            made.append(("fixed", rng.randrange(500, 10_000, 100), floor))
        else:
            made.append(("percentage", rng.randrange(5, 40), floor))
    return prices, _coupons(*made)


@pytest.mark.parametrize("seed", range(3))
def test_twenty_lines_and_twenty_different_coupons_are_answered_soon_and_well(seed: int) -> None:
    prices, coupons = _random_case(seed, 20, 20)
    started = time.perf_counter()
    found = cheapest(prices, coupons)
    assert time.perf_counter() - started < 5
    cost = _cost(prices, coupons, found)
    assert cost is not None
    # As if every coupon could be used alone on the dearest line that is left: nothing can save more.
    alone = sorted((saving(max(prices), [one]) for one in coupons), reverse=True)
    assert sum(prices) - sum(alone) <= cost < sum(prices) - sum(alone) // 3


def test_what_would_take_too_long_comes_close_to_the_best() -> None:
    prices = [100_000 + 50 * number for number in range(20)]
    coupons = _coupons(
        *(("percentage", 5 + number, 0) for number in range(10)),
        *(("fixed", 1_000 + 100 * number, 0) for number in range(10)),
    )
    cost = _cost(prices, coupons, cheapest(prices, coupons))
    assert cost is not None
    best_imaginable = sum(saving(max(prices), [one]) for one in coupons)
    assert sum(prices) - cost > 0.99 * best_imaginable


def test_a_spread_is_nearly_always_the_cheapest() -> None:
    cases = [_random_case(seed, 1 + seed % 5, 1 + seed % 7) for seed in range(150)]
    costs = [
        (_cost(prices, coupons, cheapest(prices, coupons)), _cost(prices, coupons, _spread(prices, coupons)))
        for prices, coupons in cases
    ]
    assert sum(best == soon for best, soon in costs) > 0.95 * len(cases)
    assert all(best is not None and soon is not None and best <= soon < 1.01 * best for best, soon in costs)


def _spread(prices: list[int], coupons: list[Coupon]) -> list[list[int]]:
    """What `spread` finds; here every coupon is a stack of its own."""
    order = sorted(range(len(prices)), key=lambda line: -prices[line])
    found = spread([prices[line] for line in order], [[one] for one in coupons])
    by_line = dict(zip(order, found, strict=True))
    return [[coupons[number].id for number in by_line[line]] for line in range(len(prices))]


@given(prices=st.lists(money, max_size=8), given_terms=st.lists(with_floors, max_size=8))
def test_an_order_of_what_was_spread_is_accepted(
    prices: list[int], given_terms: list[tuple[str, int, int]]
) -> None:
    coupons = _coupons(*given_terms)
    found = _spread(prices, coupons)
    assert _cost(prices, coupons, found) is not None
    used = [one for chosen in found for one in chosen]
    assert len(used) == len(set(used))


def test_very_many_different_coupons_are_answered_all_the_same() -> None:
    coupons = _coupons(*(("percentage", 5 + number % 80, number + 1) for number in range(300)))
    prices = list(range(10_000, 10_300))
    started = time.perf_counter()
    found = cheapest(prices, coupons)
    assert time.perf_counter() - started < 10
    assert _cost(prices, coupons, found) is not None
    assert sum(map(len, found)) >= 300
