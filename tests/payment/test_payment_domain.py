"""The rules of points."""

from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_svc import domain
from payment_svc.contracts import PaymentCaptured, PaymentDeclined
from payment_svc.domain import Ask, Payment, State
from payment_svc.pg import Finding
from shared.errors import Conflict, RuleBroken


def _ask(number: int, user_id: int, amount: int, method: str = "points") -> Ask:
    return Ask(
        order_id=UUID(int=number),
        payment_id=UUID(int=10_000 + number),
        user_id=user_id,
        method=method,
        amount=amount,
        card_key="default_1" if method == "card" else None,
    )


def _payment(state: State, **changes: Any) -> Payment:
    fields: dict[str, Any] = {"user_id": 7, "method": "card", "amount": 5, **changes}
    return Payment(payment_id=UUID(int=2), order_id=UUID(int=1), state=state, **fields)


def test_a_list_of_orders_shares_one_balance_in_the_order_given() -> None:
    claims, movements = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60), _ask(3, 7, 40)], {7: 100})
    assert [claim.state for claim in claims] == ["HELD", "REJECTED", "HELD"]
    assert [(m.delta, m.balance) for m in movements] == [(-60, 40), (-40, 0)]
    assert claims[1].details == {"asked": 60, "balance": 40}


def test_no_account_has_nothing_not_even_for_an_order_that_costs_nothing() -> None:
    claims, movements = domain.decide([_ask(1, 7, 1), _ask(2, 7, 0)], {})
    assert [claim.reason for claim in claims] == ["insufficient_points"] * 2
    assert movements == []


def test_an_order_that_costs_nothing_is_paid_from_an_empty_account() -> None:
    claims, movements = domain.decide([_ask(1, 7, 0)], {7: 0})
    assert claims[0].state == "HELD"
    assert movements[0].delta == 0


def test_what_is_neither_points_nor_card_is_declined() -> None:
    claims, movements = domain.decide([_ask(1, 7, 1, "nothing")], {7: 100})
    assert (claims[0].state, claims[0].reason, movements) == ("REJECTED", "insufficient_points", [])


def test_a_card_is_asked_about_and_takes_no_points() -> None:
    asks = [_ask(1, 7, 60, "card"), _ask(2, 7, 0, "card"), _ask(3, 7, 10**12 + 1, "card")]
    keyless = msgspec.structs.replace(_ask(4, 7, 60, "card"), card_key=None)
    payments, movements = domain.decide([*asks, keyless], {7: 100})
    assert [one.state for one in payments] == ["ASKING", "HELD", "REJECTED", "REJECTED"]
    assert [one.details.get("code") for one in payments[2:]] == ["EXCEED_MAX_AMOUNT", "NO_PAYMENT_KEY"]
    assert movements == []
    assert domain.verdict(payments[0]) is None
    assert domain.give_back(payments, {}) == []


@pytest.mark.parametrize(
    ("state", "method", "amount", "after"),
    [
        (State.ASKING, "card", 5, State.RELEASING),
        (State.HELD, "card", 5, State.RELEASING),
        (State.RELEASING, "card", 5, State.RELEASING),
        (State.HELD, "card", 0, State.RELEASED),
        (State.REJECTED, "card", 5, State.RELEASED),
        (State.RELEASED, "card", 5, State.RELEASED),
        (State.HELD, "points", 5, State.RELEASED),
        (State.REJECTED, "points", None, State.RELEASED),
    ],
)
def test_only_a_card_that_may_be_charged_is_not_given_back_at_once(
    state: State, method: str, amount: int | None, after: State
) -> None:
    assert domain.after_release(_payment(state, method=method, amount=amount)) is after


FOUND = {
    (State.ASKING, Finding.CHARGED): State.HELD,
    (State.ASKING, Finding.REFUSED): State.REJECTED,
    (State.ASKING, Finding.CANCELLED): State.REJECTED,
    (State.RELEASING, Finding.REFUSED): State.RELEASED,
    (State.RELEASING, Finding.CANCELLED): State.RELEASED,
}


@pytest.mark.parametrize(("state", "finding"), list(product(State, Finding)), ids="-".join)
def test_what_is_found_out_settles_what_was_unknown_and_nothing_else(state: State, finding: Finding) -> None:
    assert domain.found(_payment(state), finding) is FOUND.get((state, finding))


@pytest.mark.parametrize("state", list(State))
def test_another_payment_is_begun_only_when_the_one_before_holds_nothing(state: State) -> None:
    assert domain.next_attempt(None) == 1
    if state in (State.REJECTED, State.RELEASED):
        assert domain.next_attempt(_payment(state, attempt=3)) == 4
    else:
        with pytest.raises(Conflict):
            domain.next_attempt(_payment(state, attempt=3))


def test_every_card_payment_has_a_key_of_its_own() -> None:
    one, other = UUID(int=1), UUID(int=2)
    assert domain.card_key("card", "pay_1", "default_", one) == "pay_1"
    assert domain.card_key("card", None, "default_", one) != domain.card_key("card", None, "default_", other)
    assert domain.card_key("card", None, "", one) is None
    assert domain.card_key("points", None, "default_", one) is None


def test_an_amount_beyond_all_accounts_is_declined() -> None:
    claims, _ = domain.decide([_ask(1, 7, 10**21)], {7: 10**12})
    assert claims[0].state == "REJECTED"
    assert claims[0].amount is None


def test_the_answer_is_the_same_each_time() -> None:
    claims, _ = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60)], {7: 100})
    yes, no = domain.verdict(claims[0]), domain.verdict(claims[1])
    assert yes == PaymentCaptured(order_id=UUID(int=1), payment_id=UUID(int=10_001), amount=60)
    assert no == PaymentDeclined(
        order_id=UUID(int=2),
        payment_id=UUID(int=10_002),
        reason="insufficient_points",
        details={"asked": 60, "balance": 40},
    )
    assert (domain.verdict(claims[0]), domain.verdict(claims[1])) == (yes, no)


def test_a_released_order_is_declined_when_it_comes_after_all() -> None:
    stone = domain.tombstone(UUID(int=1), UUID(int=2))
    late = domain.verdict(stone)
    assert isinstance(late, PaymentDeclined)
    assert late.reason == "released"
    assert domain.acknowledgement(stone).payment_id == UUID(int=2)


def test_a_refund_says_to_whom_and_how_much_and_nothing_where_nothing_was_taken() -> None:
    claims, _ = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60)], {7: 100})
    for claim, amount in zip(claims, (60, 0), strict=True):
        told = domain.acknowledgement(msgspec.structs.replace(claim, state="RELEASED"))
        assert (told.user_id, told.amount) == (7, amount)
    assert domain.acknowledgement(domain.tombstone(UUID(int=1), UUID(int=2))).amount == 0


def test_only_what_is_held_goes_back() -> None:
    claims, _ = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60)], {7: 100})
    stone = domain.tombstone(UUID(int=3), UUID(int=4))
    back = domain.give_back([*claims, stone], {7: 40})
    assert [(m.order_id.int, m.delta, m.balance) for m in back] == [(1, 60, 100)]


@given(
    st.dictionaries(st.integers(1, 4), st.integers(0, 1000)),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 600), st.sampled_from(["points", "card"]))),
)
def test_points_are_neither_made_nor_lost(
    balances: dict[int, int], orders: list[tuple[int, int, str]]
) -> None:
    asks = [_ask(number, *order) for number, order in enumerate(orders)]
    claims, taken = domain.decide(asks, balances)
    assert [claim.order_id for claim in claims] == [ask.order_id for ask in asks]
    assert all(movement.balance >= 0 for movement in taken)
    left = {**balances, **{movement.user_id: movement.balance for movement in taken}}
    for user_id, balance in balances.items():
        assert left[user_id] == balance + sum(m.delta for m in taken if m.user_id == user_id)
    back = domain.give_back(claims, left)
    assert {**left, **{movement.user_id: movement.balance for movement in back}} == balances


@pytest.mark.parametrize("amount", [-1, 0, 101, 10**30])
def test_a_charge_has_limits(amount: int) -> None:
    with pytest.raises(RuleBroken) as refused:
        domain.check_charge(amount, 100)
    assert refused.value.errors[0].field == "amount"


def test_an_account_has_a_limit() -> None:
    assert domain.balance_after(40, 60, 100) == 100
    with pytest.raises(RuleBroken):
        domain.balance_after(41, 60, 100)
