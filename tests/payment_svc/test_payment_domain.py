"""The rules of paying: points, cards, numbers and keys, releases and refunds."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_svc import domain
from payment_svc.contracts import Method, PaymentCaptured, PaymentDeclined, PaymentKept, PaymentRefunded
from payment_svc.domain import Ask, Intent, Payment, State
from shared.errors import Conflict, FieldError, RuleBroken

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)


def _ask(number: int, user_id: int, amount: int, method: Method | None = "points") -> Ask:
    return Ask(
        order_id=UUID(int=number),
        payment_id=UUID(int=10_000 + number),
        user_id=user_id,
        method=method,
        amount=amount,
        card_key=f"default_{number}" if method == "card" else None,
    )


def _payment(state: State, **changes: Any) -> Payment:
    fields: dict[str, Any] = {
        "order_id": UUID(int=1),
        "user_id": 7,
        "method": "card",
        "amount": 5,
        "card_key": "pay_1",
        "ask_due_at": NOW if state in domain.WAITING else None,
        **changes,
    }
    return Payment(payment_id=UUID(int=2), state=state, **fields)


def test_a_list_of_orders_shares_one_balance_in_the_order_given() -> None:
    claims, movements = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60), _ask(3, 7, 40)], {7: 100}, ask_at=NOW)
    assert [claim.state for claim in claims] == ["HELD", "REJECTED", "HELD"]
    assert [(m.delta, m.balance) for m in movements] == [(-60, 40), (-40, 0)]
    assert claims[1].details == {"asked": 60, "balance": 40}


def test_no_account_has_nothing_not_even_for_an_order_that_costs_nothing() -> None:
    claims, movements = domain.decide([_ask(1, 7, 1), _ask(2, 7, 0)], {}, ask_at=NOW)
    assert [claim.reason for claim in claims] == ["insufficient_points"] * 2
    assert movements == []


def test_an_order_that_costs_nothing_is_paid_from_an_empty_account() -> None:
    claims, movements = domain.decide([_ask(1, 7, 0)], {7: 0}, ask_at=NOW)
    assert claims[0].state == "HELD"
    assert movements[0].delta == 0


def test_what_is_neither_points_nor_card_is_declined() -> None:
    claims, movements = domain.decide([_ask(1, 7, 1, None)], {7: 100}, ask_at=NOW)
    assert (claims[0].state, claims[0].reason, movements) == ("REJECTED", "insufficient_points", [])


def test_a_card_is_asked_about_and_takes_no_points() -> None:
    asks = [_ask(1, 7, 60, "card"), _ask(2, 7, 0, "card"), _ask(3, 7, 10**12 + 1, "card")]
    keyless = msgspec.structs.replace(_ask(4, 7, 60, "card"), card_key=None)
    payments, movements = domain.decide([*asks, keyless], {7: 100}, ask_at=NOW)
    assert [one.state for one in payments] == ["ASKING", "HELD", "REJECTED", "REJECTED"]
    assert [one.details.get("code") for one in payments[2:]] == ["EXCEED_MAX_AMOUNT", "NO_PAYMENT_KEY"]
    assert movements == []
    assert domain.verdict(payments[0]) is None
    assert domain.give_back(payments, {}) == []


RELEASES: list[tuple[dict[str, Any], State]] = [
    ({"state": State.ASKING}, State.RELEASING),
    ({"state": State.HELD}, State.RELEASING),
    ({"state": State.HELD, "refunded": 2}, State.RELEASING),
    ({"state": State.HELD, "amount": 0}, State.RELEASED),
    ({"state": State.HELD, "method": "points"}, State.RELEASED),
    ({"state": State.HELD, "method": "points", "refunded": 2}, State.RELEASED),
    ({"state": State.REJECTED}, State.RELEASED),
    ({"state": State.REJECTED, "method": "points", "amount": None}, State.RELEASED),
    ({"state": State.RELEASING}, State.RELEASING),
    ({"state": State.RELEASED}, State.RELEASED),
    ({"state": State.NEEDS_ATTENTION}, State.NEEDS_ATTENTION),
    ({"state": State.KEPT}, State.KEPT),
]


@pytest.mark.parametrize(("fields", "after"), RELEASES, ids=str)
def test_only_a_card_that_may_be_charged_is_not_given_back_at_once(
    fields: dict[str, Any], after: State
) -> None:
    before = _payment(**fields)
    moved = domain.after_release(before, NOW, patience=PATIENCE) or before
    assert moved.state is after
    assert domain.after_release(moved, NOW, patience=PATIENCE) is None
    if after is State.RELEASING:
        assert moved.ask_due_at == NOW
    if after is State.RELEASED and before.state is State.HELD:
        assert (moved.refunded, moved.released) == (before.amount, before.left)
    elif after is State.RELEASED:
        assert moved.released == 0


@pytest.mark.parametrize(
    ("due_in_s", "asked_in_s"), [(-5, -5), (0, 0), (29, 29), (30, 30), (31, 0), (3_600, 0)]
)
def test_a_release_that_comes_again_has_the_pg_asked_soon_whatever_was_put_off(
    due_in_s: int, asked_in_s: int
) -> None:
    releasing = _payment(State.RELEASING, ask_due_at=NOW + timedelta(seconds=due_in_s))
    after = domain.after_release(releasing, NOW, patience=PATIENCE) or releasing
    assert after.ask_due_at == NOW + timedelta(seconds=asked_in_s)


def test_a_release_stops_a_refund_in_part_and_tells_a_person_what_is_wanted() -> None:
    held = _payment(State.HELD, refunding=2, refund_id=UUID(int=3), asks=4)
    after = domain.after_release(held, NOW, patience=PATIENCE)
    assert after is not None
    assert (after.refunding, after.asks, after.was_charged) == (0, 0, True)
    asking = domain.after_release(_payment(State.ASKING), NOW, patience=PATIENCE)
    assert asking is not None
    assert not asking.was_charged
    person = _payment(State.NEEDS_ATTENTION, reason="contradiction", details={"wanted": "charge"})
    told = domain.after_release(person, NOW, patience=PATIENCE)
    assert told is not None
    assert (told.state, told.details) == (State.NEEDS_ATTENTION, {"wanted": "cancel"})


@pytest.mark.parametrize("state", sorted(domain.WAITING))
def test_a_waiting_state_cannot_be_made_without_its_time(state: State) -> None:
    with pytest.raises(ValueError, match="nobody would look at it again"):
        Payment(payment_id=UUID(int=2), order_id=UUID(int=1), state=state)


@pytest.mark.parametrize("state", list(State))
def test_another_payment_is_begun_only_when_the_one_before_holds_nothing(state: State) -> None:
    assert domain.next_attempt(None) == 1
    if state in (State.REJECTED, State.RELEASED, State.KEPT):
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
    claims, _ = domain.decide([_ask(1, 7, 10**21)], {7: 10**12}, ask_at=NOW)
    assert claims[0].state == "REJECTED"
    assert claims[0].amount is None


def test_the_answer_is_the_same_each_time() -> None:
    claims, _ = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60)], {7: 100}, ask_at=NOW)
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
    told = domain.acknowledgement(stone)
    assert isinstance(told, PaymentRefunded)
    assert (told.payment_id, told.user_id, told.amount) == (UUID(int=2), None, 0)


VERDICTS: dict[State, type | None] = {
    State.ASKING: None,
    State.HELD: PaymentCaptured,
    State.REJECTED: PaymentDeclined,
    State.RELEASING: PaymentDeclined,
    State.RELEASED: PaymentDeclined,
    State.NEEDS_ATTENTION: None,
    State.KEPT: PaymentDeclined,
}
ACKNOWLEDGEMENTS: dict[State, type] = {State.RELEASED: PaymentRefunded, State.KEPT: PaymentKept}


@pytest.mark.parametrize("state", list(State))
def test_what_an_order_and_a_release_are_answered(state: State) -> None:
    verdict, told = domain.verdict(_payment(state)), domain.acknowledgement(_payment(state))
    assert (type(verdict) if verdict else None) is VERDICTS[state]
    assert (type(told) if told else None) is ACKNOWLEDGEMENTS.get(state)
    purchase = _payment(state, order_id=None)
    assert domain.verdict(purchase) is None
    assert domain.acknowledgement(purchase) is None


def test_what_is_kept_is_what_was_not_given_back_and_why() -> None:
    kept = domain.acknowledgement(_payment(State.KEPT, refunded=2, details={"note": "fraud"}))
    assert isinstance(kept, PaymentKept)
    assert (kept.amount, kept.user_id, kept.note) == (3, 7, "fraud")


@pytest.mark.parametrize(
    ("state", "refunded", "shown"),
    [
        (State.ASKING, 0, "ASKING"),
        (State.HELD, 0, "CAPTURED"),
        (State.HELD, 1, "PARTLY_REFUNDED"),
        (State.REJECTED, 0, "DECLINED"),
        (State.RELEASING, 1, "REFUNDING"),
        (State.RELEASED, 5, "REFUNDED"),
        (State.NEEDS_ATTENTION, 1, "NEEDS_ATTENTION"),
        (State.KEPT, 1, "KEPT"),
    ],
)
def test_what_a_payer_is_shown(state: State, refunded: int, shown: str) -> None:
    view = domain.view(_payment(state, refunded=refunded))
    assert (view.status, view.refunded) == (shown, refunded)
    assert not any("key" in name for name in type(view).__struct_fields__)


def test_only_what_is_held_goes_back_and_not_what_went_back_before() -> None:
    claims, _ = domain.decide([_ask(1, 7, 60), _ask(2, 7, 60)], {7: 100}, ask_at=NOW)
    stone = domain.tombstone(UUID(int=3), UUID(int=4))
    partly = [msgspec.structs.replace(claims[0], refunded=25), *claims[1:], stone]
    back = domain.give_back(partly, {7: 40})
    assert [(m.payment_id.int, m.delta, m.balance) for m in back] == [(10_001, 35, 75)]


INTENT = Intent(
    payment_id=UUID(int=5),
    user_id=7,
    order_id=UUID(int=1),
    amount=60,
    card_key=None,
    expires_at=NOW + timedelta(seconds=1),
    used_at=None,
)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"user_id": 8}, "INTENT_UNKNOWN"),
        ({"user_id": 8, "used_at": NOW}, "INTENT_UNKNOWN"),
        ({"used_at": NOW}, "INTENT_USED"),
        ({"used_at": NOW, "expires_at": NOW}, "INTENT_USED"),
        ({"expires_at": NOW}, "INTENT_EXPIRED"),
        ({"amount": 61}, "AMOUNT_DIFFERS"),
        ({"amount": 59}, "AMOUNT_DIFFERS"),
        ({"amount": None}, None),
        ({"order_id": UUID(int=2)}, "ORDER_DIFFERS"),
        ({"order_id": None}, None),
    ],
)
def test_what_a_number_can_be_used_for(changes: dict[str, Any], code: str | None) -> None:
    intent = msgspec.structs.replace(INTENT, **changes)
    refusal = domain.refusal_of_intent(intent, user_id=7, order_id=UUID(int=1), amount=60, now=NOW)
    assert (refusal or {}).get("code") == code
    assert not refusal or refusal["message"]


def test_a_number_that_there_is_not_looks_as_another_s() -> None:
    asked: dict[str, Any] = {"user_id": 8, "order_id": UUID(int=1), "amount": 60, "now": NOW}
    assert domain.refusal_of_intent(None, **asked) == domain.refusal_of_intent(INTENT, **asked)


def test_a_key_pays_once_in_a_list_and_not_what_another_paid_for() -> None:
    asks = [
        msgspec.structs.replace(_ask(number, 7, 5, "card"), card_key=key)
        for number, key in enumerate(["a", "a", "A", "b", "c", None, None])
    ]
    refused = msgspec.structs.replace(asks[4], refusal=domain.number_used())
    checked = domain.each_key_once([*asks[:4], refused, asks[4], *asks[5:]], {"b"})
    codes = [one.refusal and one.refusal["code"] for one in checked]
    # A refused one uses no key up: the next may pay with it.
    assert codes == [None, "PAYMENT_KEY_USED", None, "PAYMENT_KEY_USED", "INTENT_USED", None, None, None]


PARTS: list[tuple[dict[str, Any], int | None, Any]] = [
    ({"state": State.HELD}, 2, 2),
    ({"state": State.HELD}, None, None),
    ({"state": State.HELD}, 5, None),
    ({"state": State.HELD, "refunded": 3}, 2, None),
    ({"state": State.HELD, "refunded": 3}, 1, 1),
    ({"state": State.HELD, "refunded": 3}, 3, RuleBroken),
    ({"state": State.HELD}, 6, RuleBroken),
    ({"state": State.HELD, "order_id": None}, 5, 5),
    ({"state": State.HELD, "order_id": None, "refunded": 2}, None, 3),
    ({"state": State.HELD, "order_id": None}, 6, RuleBroken),
    ({"state": State.HELD, "refunding": 1, "refund_id": UUID(int=8)}, 1, Conflict),
    ({"state": State.HELD, "refunding": 1, "refund_id": UUID(int=8)}, None, Conflict),
    *(({"state": state}, 1, Conflict) for state in State if state is not State.HELD),
]


@pytest.mark.parametrize(("fields", "amount", "part"), PARTS, ids=str)
def test_how_much_goes_back_in_part(fields: dict[str, Any], amount: int | None, part: Any) -> None:
    payment = _payment(**fields)
    if isinstance(part, type):
        with pytest.raises(part):
            domain.part_to_refund(payment, amount, UUID(int=9))
    else:
        assert domain.part_to_refund(payment, amount, UUID(int=9)) == part


@given(
    st.dictionaries(st.integers(1, 4), st.integers(0, 1000)),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 600), st.sampled_from(["points", "card"]))),
)
def test_points_are_neither_made_nor_lost(
    balances: dict[int, int], orders: list[tuple[int, int, Method]]
) -> None:
    asks = [_ask(number, *order) for number, order in enumerate(orders)]
    claims, taken = domain.decide(asks, balances, ask_at=NOW)
    assert [claim.order_id for claim in claims] == [ask.order_id for ask in asks]
    assert all(movement.balance >= 0 for movement in taken)
    left = {**balances, **{movement.user_id: movement.balance for movement in taken}}
    for user_id, balance in balances.items():
        assert left[user_id] == balance + sum(m.delta for m in taken if m.user_id == user_id)
    back = domain.give_back(claims, left)
    assert {**left, **{movement.user_id: movement.balance for movement in back}} == balances


@pytest.mark.parametrize("amount", [-1, 0, 101, 10**30])
def test_a_purchase_has_limits(amount: int) -> None:
    with pytest.raises(RuleBroken) as refused:
        domain.check_charge(amount, 100, largest=100, most=1_000)
    assert refused.value.errors[0].field == "amount"


def test_an_account_has_limits_and_its_asker_s_word_for_them() -> None:
    assert domain.balance_after(40, 60, 100) == 100
    assert domain.balance_after(40, -40, 100) == 0
    assert domain.balance_after(200, -40, 100) == 160
    for delta in (61, -41):
        with pytest.raises(RuleBroken) as refused:
            domain.balance_after(40, delta, 100)
        assert refused.value.errors[0].field == "delta"
    with pytest.raises(RuleBroken) as refused:
        domain.check_charge(61, 40, largest=100, most=100)
    assert refused.value.errors == [FieldError("amount", "Expected at most 60")]


@pytest.mark.parametrize(
    "text", ["", "7", "order-1", "x" * 10_000, "\x00", "0190a6a1-0000-7000-8000-00000000000g"]
)
def test_what_cannot_be_a_number_of_ours_is_none(text: str) -> None:
    assert domain.number(text) is None


@pytest.mark.parametrize("fields", [{"card_key": "pay_1"}, {"has_intent": True}])
def test_only_a_card_has_a_key_and_a_number(fields: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"card_key": None, "has_intent": False, **fields}
    domain.check_method("card", **asked)
    with pytest.raises(RuleBroken):
        domain.check_method("points", **asked)


@pytest.mark.parametrize(
    ("code", "field"),
    [("PAYMENT_KEY_USED", "payment_key"), ("INTENT_USED", "payment_id"), ("AMOUNT_DIFFERS", "payment_id")],
)
def test_what_cannot_pay_is_told_by_its_field_and_code(code: str, field: str) -> None:
    problem = domain.unusable({"code": code, "message": "Why."})
    assert problem.errors == [FieldError(field, "Why.")]
    assert code in problem.detail
