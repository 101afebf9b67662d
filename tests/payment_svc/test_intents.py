"""Numbers before payments, and keys: whose, until when, for how much, and once."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from payment_svc import calls, paying
from payment_svc.contracts import BringKey, Intent, MakeIntent, PaymentCaptured, PaymentDeclined
from shared.clock import utc_now
from shared.database import purging
from shared.errors import Conflict, RuleBroken
from shared.ids import new_id
from tests.payment_svc.world import BUYER, PRICE, World, at_once


async def _intent(world: World, **fields: Any) -> Intent:
    asked: dict[str, Any] = {"payment_id": new_id(), "user_id": BUYER, **fields}
    return await paying.make_intent(MakeIntent(**asked), world.db, world.rpc, world.settings)


async def _bring(world: World, number: UUID, key: str, *, user_id: int = BUYER, is_new: bool = False) -> None:
    call = BringKey(payment_id=number, user_id=user_id, payment_key=key, is_new=is_new)
    await world.within(lambda tx: calls.bring_key(call, tx, world.settings))


async def _key(world: World, number: UUID) -> str | None:
    [(key,)] = await world.sql("SELECT card_key FROM payment_intents WHERE payment_id = %s", number)
    return key


async def _end(world: World, number: UUID) -> None:
    await world.execute(
        "UPDATE payment_intents SET expires_at = UTC_TIMESTAMP(6) WHERE payment_id = %s", number
    )


async def test_a_number_is_for_an_amount_or_for_what_an_order_costs(world: World) -> None:
    order_id = new_id()
    world.orders.due[order_id] = 700
    of_order = await _intent(world, order_id=order_id)
    assert of_order.amount == 700
    made = await _intent(world, amount=500)
    assert (made.amount, round((made.expires_at - utc_now()).total_seconds(), -1)) == (500, 1_800)
    assert await _intent(world, payment_id=made.payment_id, amount=500) == made
    assert len({made.payment_id, of_order.payment_id}) == 2


@pytest.mark.parametrize("fields", [{}, {"amount": 5, "order_id": UUID(int=1)}, {"amount": 10**12 + 1}])
async def test_a_number_is_for_exactly_one_thing_that_a_card_can_pay(
    world: World, fields: dict[str, Any]
) -> None:
    with pytest.raises(RuleBroken):
        await _intent(world, **fields)
    with pytest.raises(Conflict):
        await _intent(world, order_id=new_id())  # nothing is due for it


async def test_a_key_is_brought_for_a_number_once_or_again(world: World) -> None:
    number = (await _intent(world, amount=PRICE)).payment_id
    for key in ("pay_1", "pay_1", "pay_2"):
        await _bring(world, number, key)
        assert await _key(world, number) == key
    await _bring(world, number, "pay_theirs", user_id=BUYER + 1)
    assert await _key(world, number) == "pay_2"
    fresh = new_id()
    for _ in range(2):
        await _bring(world, fresh, "pay_3", is_new=True)
    assert await _key(world, fresh) == "pay_3"
    await _bring(world, new_id(), "pay_4")
    assert await world.sql("SELECT COUNT(*) FROM payment_intents") == [(2,)]


async def test_an_order_is_paid_under_its_number_with_the_key_brought_for_it(world: World) -> None:
    number = (await _intent(world, amount=PRICE)).payment_id
    await _bring(world, number, "pay_1")
    order_id = await world.place(world.placed(payment_id=number))
    await world.reconcile()
    payment = await world.of(order_id)
    assert (payment.payment_id, payment.state, payment.card_key) == (number, "HELD", "pay_1")
    assert await _key(world, number) is None  # the payment keeps it from now on
    await _bring(world, number, "pay_2")
    assert await _key(world, number) is None
    await world.books_agree()


async def _as_is(world: World, number: UUID) -> dict[str, Any]:
    return {"payment_id": number}


async def _of_another(world: World, number: UUID) -> dict[str, Any]:
    return {"payment_id": number, "buyer_id": BUYER + 1}


async def _unknown(world: World, number: UUID) -> dict[str, Any]:
    return {"payment_id": new_id()}


async def _over(world: World, number: UUID) -> dict[str, Any]:
    await _end(world, number)
    return {"payment_id": number}


async def _used(world: World, number: UUID) -> dict[str, Any]:
    await world.place(world.placed(payment_id=number))
    return {"payment_id": number}


async def _of_another_amount(world: World, number: UUID) -> dict[str, Any]:
    return {"payment_id": number, "total": PRICE + 1}


REFUSALS: list[tuple[Any, str]] = [
    (_of_another, "INTENT_UNKNOWN"),
    (_unknown, "INTENT_UNKNOWN"),
    (_over, "INTENT_EXPIRED"),
    (_used, "INTENT_USED"),
    (_of_another_amount, "AMOUNT_DIFFERS"),
]


@pytest.mark.parametrize(("prepare", "code"), REFUSALS, ids=lambda one: getattr(one, "__name__", one))
async def test_a_number_that_cannot_be_used_declines_the_order_and_pays_nothing(
    world: World, prepare: Any, code: str
) -> None:
    number = (await _intent(world, amount=PRICE)).payment_id
    await _bring(world, number, "pay_1")
    order = world.placed(**await prepare(world, number))
    await world.place(order)
    told = [one for one in world.heard.of(PaymentDeclined) if one.order_id == order.order_id]
    assert [(one.reason, one.details["code"]) for one in told] == [("card_declined", code)]
    payment = await world.of(order.order_id)
    assert (payment.state, payment.card_key) == ("REJECTED", None)
    assert payment.payment_id != number  # the number stays its owner's
    if prepare is not _used:
        await _refused_when_paying(world, order, code)


async def _refused_when_paying(world: World, order: Any, code: str) -> None:
    with pytest.raises(RuleBroken, match=code) as refused:
        await world.pay(
            payment_id=order.payment_id, user_id=order.buyer_id, amount=order.total, has_intent=True
        )
    assert refused.value.errors[0].field == "payment_id"
    assert await world.sql("SELECT COUNT(*) FROM payments") == [(1,)]


async def test_a_number_pays_once_and_a_number_of_an_order_for_that_order(world: World) -> None:
    order_id = new_id()
    world.orders.due[order_id] = PRICE
    number = (await _intent(world, order_id=order_id)).payment_id
    with pytest.raises(RuleBroken, match="ORDER_DIFFERS"):
        await world.pay(payment_id=number, has_intent=True)
    paid = await world.pay(order_id, payment_id=number, payment_key="pay_1", has_intent=True)
    assert (paid.id, paid.status) == (number, "CAPTURED")
    assert (await world.pay(order_id, payment_id=number, has_intent=True)).id == number
    with pytest.raises(RuleBroken, match="INTENT_USED"):
        await world.pay(payment_id=number, has_intent=True)
    await world.books_agree()


async def test_points_are_bought_under_a_number_too(world: World) -> None:
    await world.open_account()
    number = (await _intent(world, amount=500)).payment_id
    with pytest.raises(RuleBroken, match="AMOUNT_DIFFERS"):
        await world.buy(501, payment_id=number, has_intent=True)
    outcomes = await asyncio.gather(
        *(world.buy(500, payment_id=number, payment_key="pay_1", has_intent=True) for _ in range(4))
    )
    assert {one.payment_id for one in outcomes} == {number}
    assert await world.balance() == 500


async def test_twice_in_one_list_a_number_pays_the_first(world: World) -> None:
    number = (await _intent(world, amount=PRICE)).payment_id
    first, second = world.placed(payment_id=number), world.placed(payment_id=number)
    await world.place(first, second)
    [told] = world.heard.of(PaymentDeclined)
    assert (told.order_id, told.details["code"]) == (second.order_id, "INTENT_USED")
    await world.reconcile()
    assert [one.order_id for one in world.heard.of(PaymentCaptured)] == [first.order_id]


async def _with_key(world: World, key: str, **fields: Any) -> Any:
    """An order that brings a key."""
    number = new_id()
    await _bring(world, number, key, is_new=True, user_id=fields.get("buyer_id", BUYER))
    return world.placed(payment_id=number, **fields)


async def test_a_key_pays_once_in_a_list_and_keys_that_differ_in_case_are_two(world: World) -> None:
    keys = ["pay_k", "pay_k", "PAY_K", "pay_k", "pay_other"]
    orders = [await _with_key(world, key) for key in keys]
    await world.place(*orders)
    told = {one.order_id: one.details["code"] for one in world.heard.of(PaymentDeclined)}
    assert told == {orders[1].order_id: "PAYMENT_KEY_USED", orders[3].order_id: "PAYMENT_KEY_USED"}
    await world.reconcile()
    assert len(world.heard.of(PaymentCaptured)) == 3
    await world.books_agree()


async def test_a_key_in_two_lists_at_once_pays_once(world: World) -> None:
    orders = [await _with_key(world, "pay_k", total=1_000 + number) for number in range(8)]
    good = [world.placed() for _ in range(8)]
    await asyncio.gather(*(world.place(*pair) for pair in zip(orders, good, strict=True)))
    codes = [one.details["code"] for one in world.heard.of(PaymentDeclined)]
    assert codes == ["PAYMENT_KEY_USED"] * 7
    await world.reconcile()
    assert len(world.heard.of(PaymentCaptured)) == 9
    await world.books_agree()


async def test_a_stranger_s_use_of_a_key_leaves_its_payment_alone(world: World) -> None:
    paid = await world.pay(payment_key="pay_k")
    theirs = await _with_key(world, "pay_k", buyer_id=BUYER + 1)
    await world.place(theirs)
    with pytest.raises(RuleBroken, match="PAYMENT_KEY_USED") as refused:
        await world.pay(payment_key="pay_k", user_id=BUYER + 1)
    assert refused.value.errors[0].field == "payment_key"
    await world.release(theirs.order_id)
    await world.reconcile()
    assert (await world.payment(paid.id)).state == "HELD"
    await world.books_agree()


async def test_of_payments_with_one_key_at_once_one_is_made(world: World) -> None:
    await world.open_account()
    outcomes = await at_once(
        *(world.pay(payment_key="pay_k") for _ in range(4)),
        *(world.buy(payment_key="pay_k") for _ in range(4)),
    )
    assert outcomes[-7:] == ["RuleBroken"] * 7
    await world.books_agree()


async def test_numbers_are_forgotten_a_week_after_their_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "PURGE_ROWS", 2)
    numbers = [(await _intent(world, amount=1)).payment_id for _ in range(6)]
    for days, number in zip((8, 8, 8, 8, 8, 6), numbers, strict=True):
        await world.execute(
            "UPDATE payment_intents SET expires_at = UTC_TIMESTAMP(6) - INTERVAL %s DAY"
            " WHERE payment_id = %s",
            days,
            number,
        )
    await calls.purge(world.db)
    assert await world.sql("SELECT payment_id FROM payment_intents") == [(str(numbers[-1]),)]
