"""The rules of catalogue and stock."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from item_svc.domain import MAX_STOCK, Line, OnShelf, Reservations, adjusted, put_back, reserve, tidy
from shared.errors import RuleBroken
from shared.messages import Rejection

ITEMS = [1, 2, 3, 4]
shelves = st.dictionaries(
    st.sampled_from(ITEMS),
    st.builds(OnShelf, st.just(1), st.just(100), st.integers(0, 30), st.just(0), st.just("Mug")),
    min_size=1,
)
orders = st.lists(
    st.builds(
        Line,
        item_id=st.sampled_from(ITEMS),
        quantity=st.integers(1, 10),
        unit_price=st.sampled_from([100, 100, 100, 99]),
    ),
    min_size=1,
    max_size=6,
)


@given(shelf=shelves, placed=st.lists(orders, max_size=20))
def test_a_list_of_orders_never_takes_more_than_there_is(
    shelf: dict[int, OnShelf], placed: list[list[Line]]
) -> None:
    reservations = Reservations(shelf)
    taken: dict[int, int] = {}
    for number, lines in enumerate(placed):
        if reservations.take(UUID(int=number), lines) is not None:
            assert UUID(int=number) not in reservations.taken
            continue
        for line in lines:
            assert line.unit_price == shelf[line.item_id].price
            taken[line.item_id] = taken.get(line.item_id, 0) + line.quantity
    left = {item_id: on.stock for item_id, on in shelf.items()}
    for movement in (one for movements in reservations.taken.values() for one in movements):
        left[movement.item_id] += movement.delta
        assert movement.balance == left[movement.item_id] >= 0
    assert left == {item_id: on.stock - taken.get(item_id, 0) for item_id, on in shelf.items()}


@given(shelf=shelves, lines=orders)
def test_a_rejection_is_true_and_an_order_is_rejected_only_for_cause(
    shelf: dict[int, OnShelf], lines: list[Line]
) -> None:
    outcome = reserve(lines, shelf)
    unknown = [line for line in lines if line.item_id not in shelf]
    changed = [line for line in lines if line.unit_price != 100]
    demand = {line.item_id: 0 for line in lines}
    for line in lines:
        demand[line.item_id] += line.quantity
    if not isinstance(outcome, Rejection):
        assert not unknown
        assert not changed
        assert {movement.item_id: -movement.delta for movement in outcome} == demand
        return
    item_id = outcome.details["item_id"]
    match outcome.reason:
        case "item_unknown":
            assert item_id not in shelf
        case "price_changed":
            assert not unknown
            assert outcome.details["asked"] != outcome.details["price"] == shelf[item_id].price
        case "out_of_stock":
            assert not unknown
            assert not changed
            assert (
                outcome.details["asked"] == demand[item_id] > outcome.details["left"] == shelf[item_id].stock
            )
        case _:
            raise AssertionError(outcome.reason)


@given(shelf=shelves, lines=orders)
def test_what_is_taken_and_put_back_leaves_the_shelf_as_it_was(
    shelf: dict[int, OnShelf], lines: list[Line]
) -> None:
    outcome = reserve(lines, shelf)
    if isinstance(outcome, Rejection):
        return
    before = {item_id: on.stock for item_id, on in shelf.items()}
    stock = before | {movement.item_id: movement.balance for movement in outcome}
    held = {movement.item_id: -movement.delta for movement in outcome}
    stock |= {movement.item_id: movement.balance for movement in put_back(held, stock)}
    assert stock == before


def test_two_lines_of_one_item_share_its_stock() -> None:
    lines = [Line(item_id=1, quantity=3, unit_price=10), Line(item_id=1, quantity=3, unit_price=10)]
    assert reserve(lines, {1: OnShelf(1, 10, 5, 0, "Mug")}) == Rejection(
        "out_of_stock", {"item_id": 1, "asked": 6, "left": 5}
    )
    assert reserve(lines, {1: OnShelf(1, 10, 6, 0, "Mug")}) == [(1, -6, 0)]


@pytest.mark.parametrize(("stock", "delta"), [(5, -6), (MAX_STOCK, 1), (0, -1), (3, 0)])
def test_an_adjustment_that_makes_no_sense_is_refused(stock: int, delta: int) -> None:
    with pytest.raises(RuleBroken) as refused:
        adjusted(stock, delta)
    assert refused.value.errors[0].field == "delta"


@given(stock=st.integers(0, MAX_STOCK), delta=st.integers(-MAX_STOCK, MAX_STOCK).filter(bool))
def test_an_adjustment_within_the_limits_adds_up(stock: int, delta: int) -> None:
    if 0 <= stock + delta <= MAX_STOCK:
        assert adjusted(stock, delta) == stock + delta


@pytest.mark.parametrize("text", ["", "   ", "a\x00b", "a\nb", "\t"])
def test_a_name_has_something_to_read(text: str) -> None:
    with pytest.raises(RuleBroken):
        tidy(text, "name")


def test_a_name_loses_the_spaces_around_it() -> None:
    assert tidy("  Große Tasse ☕ ", "name") == "Große Tasse ☕"
