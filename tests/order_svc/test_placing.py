"""Placing orders, and placing them again, on a real database."""

import asyncio
from importlib import import_module

import msgspec
import pytest

from order_svc import calls, reading
from order_svc.contracts import (
    LineRequest,
    OrderPlaced,
    OrderView,
)
from order_svc.service import service
from order_svc.settings import OrderSettings
from shared.database.idempotency import Once, fingerprint
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import Problem, RuleBroken, problem_from
from shared.ids import new_id
from shared.registry import Wiring
from shared.rpc import wire
from shared.rpc.answering import Answering
from tests.order_svc.acts import (
    BUYER,
    SETTINGS,
    a_couponed_order,
    a_line,
    an_order,
    count_of,
    item_says_no,
    look,
    place,
    place_all,
    reserved,
    say,
    states,
)
from tests.support.databases import Heard

# Placing -------------------------------------------------------------------------------------------------


async def test_a_placed_order_is_pending_and_told(db: Database, heard: Heard) -> None:
    call = a_couponed_order(pay_with="points")
    order = await place(db, call)
    assert (order.id, order.status, order.settled, order.paid, order.total) == (
        call.order_id,
        "PENDING",
        False,
        False,
        80,
    )
    assert states(order) == dict.fromkeys(("item", "coupon", "payment"), "AWAITING")
    assert [entry.what for entry in order.history] == ["ORDER_CREATED"]
    [told] = heard.of(OrderPlaced)
    assert (told.order_id, told.total, told.participants) == (order.id, 80, ["item", "coupon", "payment"])
    assert reading.line_views(told.lines, {}) == order.lines
    assert await look(db, order.id) == order


async def test_only_those_concerned_take_part(db: Database) -> None:
    assert list(states(await place(db, an_order()))) == ["item"]
    assert list(states(await place(db, a_couponed_order()))) == ["item", "coupon"]
    assert list(states(await place(db, an_order(pay_with="points")))) == ["item", "payment"]


async def test_a_line_without_a_discount_costs_its_unit_price(db: Database) -> None:
    order = await place(db, an_order(a_line(quantity=3), a_line(quantity=1, discounted_price=100)))
    assert [line.discounted_price for line in order.lines] == [100, 100]
    assert order.total == 400


async def test_a_whole_list_is_placed_in_one_go_and_the_bad_ones_only_harm_themselves(
    db: Database, heard: Heard
) -> None:
    good = [an_order() for _ in range(20)]
    bad = an_order(a_line(discounted_price=1))
    answers = await place_all(db, *good[:10], bad, *good[10:])
    assert isinstance(answers[10], RuleBroken)
    placed = [answer.id for answer in answers if isinstance(answer, OrderView)]
    assert placed == [call.order_id for call in good]
    assert [told.order_id for told in heard.of(OrderPlaced)] == placed


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ([a_line(user_coupon_ids=[1], quantity=2, discounted_price=90)], ["lines[0].quantity"]),
        ([a_line(user_coupon_ids=[1], quantity=1)], ["lines[0].discounted_price"]),
        (
            [a_line(user_coupon_ids=[1, 2, 3], quantity=1, discounted_price=90)],
            ["lines[0].user_coupon_ids"],
        ),
        ([a_line(), a_line(discounted_price=99)], ["lines[1].discounted_price"]),
        ([a_line(discounted_price=101)], ["lines[0].discounted_price"]),
        (
            [a_line(quantity=1, discounted_price=90, user_coupon_ids=[4])] * 2,
            ["lines[1].user_coupon_ids"],
        ),
        ([a_line(quantity=1, discounted_price=90, user_coupon_ids=[4, 4])], ["lines[0].user_coupon_ids"]),
        (
            [a_line(user_coupon_ids=[1], quantity=2), a_line(discounted_price=0)],
            ["lines[0].quantity", "lines[0].discounted_price", "lines[1].discounted_price"],
        ),
    ],
)
async def test_an_order_against_the_rules_is_refused_by_the_names_of_its_fields(
    db: Database, heard: Heard, lines: list[LineRequest], fields: list[str]
) -> None:
    [answer] = await place_all(db, an_order(*lines))
    assert isinstance(answer, RuleBroken)
    assert [error.field for error in answer.errors] == fields
    assert heard.events == []
    assert await count_of(db, "orders") == 0


async def test_a_total_beyond_all_measure_is_refused(db: Database) -> None:
    lines = [a_line(quantity=1_000_000, unit_price=10**12)] * 2
    [answer] = await place_all(db, an_order(*lines))
    assert isinstance(answer, RuleBroken)


async def test_two_thousand_lines_are_placed(db: Database) -> None:
    order = await place(db, an_order(*(a_line(item_id=number) for number in range(1, 2001))))
    assert len((await look(db, order.id)).lines) == 2000


# Placing again -------------------------------------------------------------------------------------------


async def test_placed_again_an_order_is_answered_as_it_is_now(db: Database, heard: Heard) -> None:
    call = an_order()
    await place(db, call)
    await say(db, reserved(call.order_id))
    again = await place(db, call)
    assert (again.id, again.status) == (call.order_id, "COMPLETED")
    assert len(heard.of(OrderPlaced)) == 1


async def test_the_same_order_twice_in_one_list_is_one_order(db: Database, heard: Heard) -> None:
    call, other = an_order(), an_order()
    runs = 0

    async def unit(tx: Transaction) -> list[OrderView | Problem]:
        nonlocal runs
        runs += 1
        return await calls.place_orders([call, other, call, other], tx, SETTINGS)

    answers = await db.transaction(unit)
    assert [answer.id for answer in answers if isinstance(answer, OrderView)] == [
        call.order_id,
        other.order_id,
    ] * 2
    assert len(heard.of(OrderPlaced)) == 2
    # Not by running into its own duplicate and starting over.
    assert runs == 1


async def test_the_same_order_from_everywhere_at_once_is_one_order(db: Database, heard: Heard) -> None:
    call = an_order()
    answers = await asyncio.gather(*(place(db, call) for _ in range(8)))
    assert {answer.id for answer in answers} == {call.order_id}
    assert len(heard.of(OrderPlaced)) == 1
    assert await count_of(db, "orders") == 1


# Under an idempotency key ---------------------------------------------------------------------------------


def answering(db: Database) -> Answering:
    """The order service's answers, as calls reach them."""
    return Answering(service.answers, Wiring({Database: db, OrderSettings: SETTINGS}), db)


async def place_keyed(db: Database, key: str, body: str = "a", buyer_id: int = BUYER) -> OrderView:
    """What an order placed under a key is answered."""
    call = an_order(buyer_id=buyer_id)
    outcome = await answering(db).answer(
        wire.Request(
            id=str(new_id()),
            call="order.place",
            left_ms=30_000,
            key=Once(buyer_id, "place_order", key, fingerprint(body)).key_for("order.place"),
            data=msgspec.Raw(wire.encode(call)),
        )
    )
    assert outcome is not None
    if outcome.problem is not None:
        raise problem_from(outcome.problem)
    return msgspec.json.decode(outcome.data, type=OrderView)


async def test_the_same_key_and_body_is_the_first_order_as_it_is_now(db: Database, heard: Heard) -> None:
    first = await place_keyed(db, "key")
    await say(db, item_says_no(first.id))
    again = await place_keyed(db, "key")
    assert (again.id, again.status, again.reason) == (first.id, "FAIL", "out_of_stock")
    with pytest.raises(RuleBroken):
        await place_keyed(db, "key", "b")
    assert (await place_keyed(db, "key", buyer_id=6)).id != first.id
    assert len(heard.of(OrderPlaced)) == 2


async def test_keys_from_before_the_platform_kept_them_stay_good(db: Database) -> None:
    order = await place(db, an_order())
    await db.execute(
        "CREATE TABLE idempotency_keys (id BIGINT AUTO_INCREMENT PRIMARY KEY, buyer_id BIGINT NOT NULL,"
        " idempotency_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,"
        " body_hash VARCHAR(64) NOT NULL, order_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
        " created_at DATETIME(6) NOT NULL)"
    )
    try:
        for key in ("key", "KEY", "!~'"):
            await db.execute(
                "INSERT INTO idempotency_keys (buyer_id, idempotency_key, body_hash, order_id, created_at)"
                " VALUES (%s, %s, 'hash', %s, UTC_TIMESTAMP(6))",
                [BUYER, key, order.id],
            )
        await db.execute(import_module("order_svc.migrations.0006_keys_of_the_platform").MOVE)
    finally:
        await db.execute("DROP TABLE idempotency_keys")
    for key in ("key", "KEY", "!~'"):
        assert (await place_keyed(db, key)).id == order.id
    assert (await place_keyed(db, "kEy")).id != order.id
