"""The books: they balance when sound, and every kind of damage is named with its ids."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from io import StringIO
from typing import Any

import pytest
from ops.verify.checks import CHECKS
from rich.console import Console

from deploy.local.layout import Layout
from ops.databases import CannotRead, Row, reading
from ops.verify import __main__ as verify_command
from ops.verify import cards
from ops.verify.books import Books, examine, show
from tests.ops.books_world import CANCELLED, DONE, FAILED, OPEN, T, World, books_world

STRANGER = "00000000-0000-7000-8000-0000000000ff"

# The read side has listened since before the orders were placed.
LISTENING = (
    "INSERT INTO query_svc.saga_event_log (position, message_id, saga_id, service, event_type, event_data,"
    " status, time, stored_at, subject) VALUES (1, 'm', 's', 'a', 'a.b', '{}', 'COMPLETED', '2026-01-01',"
    " '2026-01-01', 's')"
)
CONFIRMED = (
    "INSERT INTO order_svc.order_history (order_id, at, what, status) VALUES"
    f" ('{DONE}', '2026-01-05 10:59:59', 'ORDER_CONFIRMED', 'COMPLETED'),"
    f" ('{CANCELLED}', '2026-01-05 10:00:00', 'ORDER_CONFIRMED', 'COMPLETED')"
)


def _notification(number: int, user_id: int, order_id: str, kind: str, amount: str) -> str:
    return (
        "INSERT INTO user_svc.notifications (id, user_id, order_id, kind, amount, created_at)"
        f" VALUES ({number}, {user_id}, '{order_id}', '{kind}', {amount}, {T})"
    )


DAMAGE = [
    (
        "stock adds up",
        "item 1: initial 10 + adjustments 5 - held 2 = 13, but stock is 12",
        ["UPDATE item_svc.items SET stock = 12 WHERE id = 1"],
    ),
    (
        "stock adds up",
        "item 2: initial 5 + adjustments 0 - held 0 = 5, but stock is 2",
        [f"UPDATE item_svc.item_claims SET state = 'RELEASED' WHERE order_id = '{DONE}'"],
    ),
    (
        "stock history adds up",
        "item 1: its history adds up to 12, but the stock is 13",
        [f"DELETE FROM item_svc.stock_history WHERE order_id = '{CANCELLED}' AND cause = 'release'"],
    ),
    (
        "item holds what the order asks for",
        f"order {DONE}: its lines ask for 4 pieces (7 by item id), but 3 (5) are held for it",
        [f"UPDATE item_svc.stock_history SET delta = -2 WHERE order_id = '{DONE}' AND item_id = 2"],
    ),
    (
        "item holds what the order asks for",
        f"order {DONE}: its lines ask for 4 pieces (7 by item id), but 4 (9) are held for it",
        [f"UPDATE item_svc.stock_history SET item_id = 3 WHERE order_id = '{DONE}' AND item_id = 1"],
    ),
    (
        "item holds what the order asks for",
        f"order {DONE}: its lines ask for 4 pieces (7 by item id), but 0 (0) are held for it",
        [f"DELETE FROM item_svc.stock_history WHERE order_id = '{DONE}'"],
    ),
    (
        "item claims agree with their orders",
        f"order {DONE} (COMPLETED): item stands at YES, but its claim is missing",
        [f"DELETE FROM item_svc.item_claims WHERE order_id = '{DONE}'"],
    ),
    (
        "item claims agree with their orders",
        f"order {CANCELLED} (CANCEL): item stands at RELEASED, but its claim is HELD",
        [f"UPDATE item_svc.item_claims SET state = 'HELD' WHERE order_id = '{CANCELLED}'"],
    ),
    (
        "item claims agree with their orders",
        f"order {FAILED} (FAIL): item stands at NO, but its claim is HELD",
        [f"UPDATE item_svc.item_claims SET state = 'HELD' WHERE order_id = '{FAILED}'"],
    ),
    (
        "coupon claims agree with their orders",
        f"order {DONE} (COMPLETED): coupon stands at YES, but its claim is REJECTED",
        [f"UPDATE coupon_svc.coupon_claims SET state = 'REJECTED' WHERE order_id = '{DONE}'"],
    ),
    (
        "payment claims agree with their orders",
        f"order {DONE} (COMPLETED): payment stands at YES, but its claim is RELEASED",
        [f"UPDATE payment_svc.payments SET state = 'RELEASED' WHERE order_id = '{DONE}'"],
    ),
    *(
        (
            f"{service} claims belong to orders",
            f"order {STRANGER}: {service} has a claim (RELEASED), but is no participant of such an order",
            [f"UPDATE {table} SET order_id = '{STRANGER}', state = 'RELEASED' WHERE order_id = '{DONE}'"],
        )
        for service, table in (
            ("item", "item_svc.item_claims"),
            ("coupon", "coupon_svc.coupon_claims"),
            ("payment", "payment_svc.payments"),
        )
    ),
    (
        "orders agree with their participants",
        f"order {DONE}: is COMPLETED, settled yes, but its participants are coupon YES, item NO, payment YES",
        [f"UPDATE order_svc.participants SET stand = 'NO' WHERE order_id = '{DONE}' AND name = 'item'"],
    ),
    (
        "orders agree with their participants",
        f"order {CANCELLED}: is FAIL, settled yes, but",
        [f"UPDATE order_svc.orders SET status = 'FAIL' WHERE id = '{CANCELLED}'"],
    ),
    (
        "orders agree with their participants",
        f"order {FAILED}: is CANCEL, settled yes, but its participants are item NO",
        [f"UPDATE order_svc.orders SET status = 'CANCEL' WHERE id = '{FAILED}'"],
    ),
    (
        "orders agree with their participants",
        f"order {OPEN}: is COMPLETED, settled no, but its participants are item AWAITING",
        [f"UPDATE order_svc.orders SET status = 'COMPLETED' WHERE id = '{OPEN}'"],
    ),
    (
        "orders agree with their participants",
        f"order {OPEN}: is PENDING, settled no, but its participants are none",
        [f"DELETE FROM order_svc.participants WHERE order_id = '{OPEN}'"],
    ),
    (
        "order totals add up",
        f"order {DONE}: the total is 40079, but its lines come to 40080",
        [f"UPDATE order_svc.orders SET total = 40079 WHERE id = '{DONE}'"],
    ),
    (
        "no more coupons are out than there are",
        "coupon policy 1: 1 are out of 2, but 2 were counted",
        ["DELETE FROM coupon_svc.user_coupons WHERE id = 3"],
    ),
    (
        "no more coupons are out than there are",
        "coupon policy 1: 2 are out of 1, but 1 were counted",
        ["UPDATE coupon_svc.coupon_policies SET quantity = 1, issued = 1 WHERE id = 1"],
    ),
    (
        "nobody has more of a coupon than allowed",
        "coupon policy 1: user 2 has 2, but 1 is the limit",
        ["UPDATE coupon_svc.user_coupons SET user_id = 2 WHERE id = 3"],
    ),
    (
        "the coupons' copy of prices is true",
        "item 1: costs 49900, but coupon takes it for 49800",
        ["UPDATE item_svc.items SET price = 49900 WHERE id = 1"],
    ),
    (
        "the coupons' copy of prices is true",
        "item 1: costs deleted, but coupon takes it for 49800",
        ["UPDATE item_svc.items SET retired = 1 WHERE id = 1"],
    ),
    (
        "the coupons' copy of prices is true",
        "item 9: costs unknown, but coupon takes it for deleted",
        ["INSERT INTO coupon_svc.item_prices (item_id, price, version, deleted) VALUES (9, 0, 2, 1)"],
    ),
    *(
        (
            "carts lost and got back what their orders took",
            f"order {order}: is {status} (completed before: no), but what it took from a cart is {state}",
            [f"UPDATE item_svc.cart_takings SET state = '{state}' WHERE order_id = '{order}'"],
        )
        for order, status, state in (
            (DONE, "COMPLETED", "RETURNED"),
            (OPEN, "PENDING", "RETURNED"),
            (CANCELLED, "CANCEL", "TAKEN"),
        )
    ),
    (
        "carts lost and got back what their orders took",
        f"order {CANCELLED}: is CANCEL (completed before: yes), but what it took from a cart is RETURNED",
        [
            "INSERT INTO order_svc.order_history (order_id, at, what, status)"
            f" VALUES ('{CANCELLED}', '2026-01-05', 'ORDER_COMPLETED', 'COMPLETED')"
        ],
    ),
    (
        "carts hold pieces of items",
        "cart of user 2: has 1 of item 77, which is unknown",
        ["UPDATE item_svc.cart_lines SET item_id = 77"],
    ),
    (
        "a coupon is used at most once",
        f"coupon 1: used by 2 orders at once: {DONE}, {FAILED}",
        [
            "INSERT INTO coupon_svc.coupon_uses (order_id, user_coupon_id, used_at)"
            f" VALUES ('{FAILED}', 1, NOW())"
        ],
    ),
    (
        "a coupon is used only by an order that stands",
        f"coupon 3: used by order {CANCELLED}, which is CANCEL (coupon NO, claim REJECTED)",
        [f"UPDATE coupon_svc.user_coupons SET used_by = '{CANCELLED}' WHERE id = 3"],
    ),
    (
        "a coupon is used only by an order that stands",
        f"coupon 3: used by order {STRANGER}, which is unknown (coupon no participant, claim missing)",
        [f"UPDATE coupon_svc.user_coupons SET used_by = '{STRANGER}' WHERE id = 3"],
    ),
    (
        "the use of a coupon is marked on it",
        f"coupon 1: in use by order {DONE}, but marked as used by nobody",
        ["UPDATE coupon_svc.user_coupons SET used_by = NULL WHERE id = 1"],
    ),
    (
        "an order that stands uses the coupons of its lines",
        f"order {DONE}: its lines name coupon 2, which is used by nobody",
        ["UPDATE coupon_svc.user_coupons SET used_by = NULL WHERE id = 2"],
    ),
    (
        "point balances equal their ledgers",
        "user 2: the ledger adds up to 959920 points, but the balance is 959919",
        ["UPDATE payment_svc.accounts SET balance = 959919 WHERE user_id = 2"],
    ),
    (
        "point balances equal their ledgers",
        "user 2: the ledger adds up to -40080 points",
        ["DELETE FROM payment_svc.ledger WHERE kind = 'opening'"],
    ),
    (
        "users and point accounts stand or fall together",
        "user 2: the user is ACTIVE, the point account is CLOSED",
        ["UPDATE payment_svc.accounts SET state = 'CLOSED' WHERE user_id = 2"],
    ),
    (
        "users and point accounts stand or fall together",
        "user 3: the user is missing, the point account is OPEN",
        ["DELETE FROM user_svc.users WHERE id = 3"],
    ),
    (
        "ledgers belong to accounts",
        "user 2: has 4 ledger entries, but no account",
        ["DELETE FROM payment_svc.accounts WHERE user_id = 2"],
    ),
    (
        "points taken agree with the claims",
        f"order {CANCELLED}: its payment is RELEASED with 39780, but its ledger entries come to -39780",
        ["DELETE FROM payment_svc.ledger WHERE kind = 'refund'"],
    ),
    (
        "points taken agree with the claims",
        f"order {STRANGER}: its payment is missing with 0, but its ledger entries come to -5",
        [
            "INSERT INTO payment_svc.ledger (user_id, delta, balance, kind, order_id, at)"
            f" VALUES (3, -5, -5, 'capture', '{STRANGER}', NOW())"
        ],
    ),
    (
        "paid orders were paid in full",
        f"order {DONE} (COMPLETED): total 40080, paid yes, but the payment is HELD with 40000",
        [f"UPDATE payment_svc.payments SET amount = 40000 WHERE order_id = '{DONE}'"],
    ),
    (
        "paid orders were paid in full",
        f"order {DONE} (COMPLETED): total 40080, paid no",
        [f"UPDATE order_svc.orders SET paid = 0 WHERE id = '{DONE}'"],
    ),
    (
        "paid orders were paid in full",
        f"order {CANCELLED} (CANCEL): total 39780, paid yes, but the payment is RELEASED with 39780",
        [f"UPDATE order_svc.orders SET paid = 1 WHERE id = '{CANCELLED}'"],
    ),
    (
        "what was ordered is not in the cart as well",
        f"cart of user 2: still has item 1, put there at 2026-01-05 10:00:00 UTC, which order {DONE} has got",
        [f"UPDATE item_svc.cart_lines SET changed_at = {T}"],
    ),
    (
        "buyers are told of orders that came to nothing",
        f"order {FAILED}: is FAIL (out_of_stock), but user 2 has no notification order_failed about it",
        [f"DELETE FROM user_svc.notifications WHERE order_id = '{FAILED}'"],
    ),
    (
        "buyers are told of orders that came to nothing",
        f"order {FAILED}: is FAIL (cancelled_by_admin), but user 2 has no notification order_cancelled about",
        [f"UPDATE order_svc.orders SET reason = 'cancelled_by_admin' WHERE id = '{FAILED}'"],
    ),
    (
        "buyers are told of orders that came to nothing",
        f"order {FAILED}: is FAIL (payment_expired), but user 2 has no notification order_expired about it",
        [f"UPDATE order_svc.orders SET reason = 'payment_expired' WHERE id = '{FAILED}'"],
    ),
    (
        "payers are told of what they got back",
        f"payment p2 of order {CANCELLED}: 39780 were given back, but user 2 was not told",
        ["UPDATE user_svc.notifications SET amount = 1 WHERE kind = 'payment_refunded'"],
    ),
    (
        "payers are told of what they got back",
        f"payment p2 of order {CANCELLED}: 39780 were given back, but user 2 was not told",
        ["DELETE FROM user_svc.notifications WHERE kind = 'payment_refunded'"],
    ),
    *(
        ("notifications are true", words, ["DELETE FROM user_svc.notifications", _notification(*told)])
        for words, told in (
            (
                f"notification 1: tells user 2 of order_failed, but order {DONE} is COMPLETED (no reason)",
                (1, 2, DONE, "order_failed", "NULL"),
            ),
            (
                f"notification 1: tells user 3 of order_failed, but order {FAILED} is not theirs (no reason)",
                (1, 3, FAILED, "order_failed", "NULL"),
            ),
            (
                f"notification 1: tells user 2 of order_expired, but order {FAILED} is FAIL (out_of_stock)",
                (1, 2, FAILED, "order_expired", "NULL"),
            ),
            (
                f"notification 1: tells user 2 of payment_refunded, but order {DONE} is COMPLETED",
                (1, 2, DONE, "payment_refunded", "40080"),
            ),
        )
    ),
    (
        "payment claims belong to orders",
        f"order {FAILED}: payment has a claim (HELD), but is no participant of such an order",
        [
            f"UPDATE payment_svc.payments SET order_id = '{FAILED}', attempt = 1, state = 'HELD'"
            f" WHERE order_id = '{CANCELLED}'"
        ],
    ),
    (
        "the outcome of every payment is found out",
        f"payment p1 of order {DONE}: ASKING since 2026-01-05 10:00:00 UTC, asked about 7 times",
        [
            "UPDATE payment_svc.payments SET state = 'ASKING', method = 'card', asks = 7, ask_due_at = NOW()"
            f" WHERE order_id = '{DONE}'"
        ],
    ),
    (
        "no order is past its deadline",
        f"order {OPEN}: still PENDING, although its deadline was 2026-01-05 10:00:30 UTC; silent: item",
        [f"UPDATE order_svc.orders SET deadline_at = '2026-01-05 10:00:30' WHERE id = '{OPEN}'"],
    ),
    (
        "no order is stuck while giving back",
        f"order {CANCELLED}: FAIL since 2026-01-05 10:00:00 UTC (coupon_invalid), still waiting for item",
        [
            f"UPDATE order_svc.orders SET status = 'FAIL', settled = 0 WHERE id = '{CANCELLED}'",
            "UPDATE order_svc.participants SET stand = 'RELEASING'"
            f" WHERE order_id = '{CANCELLED}' AND name = 'item'",
        ],
    ),
    *(
        (
            "outboxes are drained",
            f"{service}: x.happened about 7 waits in the outbox since 2026-01-05 10:00:00 UTC, 3 attempts",
            [
                f"INSERT INTO {service}_svc.outbox"
                " (id, type, count, subjects, body, created_at, available_at, attempts)"
                " VALUES ('m1', 'x.happened', 1, '7', '[]', '2026-01-05 10:00:00', '2026-01-05 10:00:00', 3)"
            ],
        )
        for service in ("user", "item", "coupon", "order", "payment", "query")
    ),
    (
        "the read side shows orders as they are",
        f"order {DONE}: is COMPLETED, settled, paid, 40080, but the read side shows nothing",
        [LISTENING],
    ),
    (
        "the read side shows orders as they are",
        f"order {FAILED}: is FAIL, out_of_stock, settled, unpaid, 49800,"
        " but the read side shows PENDING, under way, 49800",
        [
            LISTENING,
            "INSERT INTO query_svc.order_views (order_id, status, settled, total, last_event_at)"
            f" VALUES ('{FAILED}', 'PENDING', 0, 49800, '2026-01-05 10:00:00')",
        ],
    ),
    (
        "sales figures are those of the orders",
        "hour 2026-01-05 10:00:00 UTC: the orders differ from the sales figures by"
        " 1 orders, 4 pieces, 40080 won, 1 cancelled orders, 39780 won cancelled",
        [LISTENING, CONFIRMED],
    ),
    (
        "sales figures are those of the orders",
        "hour 2026-01-05 11:00:00 UTC: the orders differ from the sales figures by"
        " -1 orders, -2 pieces, -3 won, 0 cancelled orders, 0 won cancelled",
        ["INSERT INTO query_svc.sales_hours VALUES ('2026-01-05 11:00:00', 1, 2, 3, 0, 0)"],
    ),
    (
        "rankings are those of the orders",
        "rankings by week: 4 / 5 / 40080, but the orders that stand add up to 4 / 7 / 40080",
        [
            LISTENING,
            CONFIRMED,
            "INSERT INTO query_svc.item_sales (period, start, item_id, quantity, revenue) VALUES"
            " ('week', '2026-01-05', 1, 3, 40000), ('week', '2026-01-05', 2, 1, 80)",
        ],
    ),
]


@pytest.fixture(scope="module")
async def _databases(servers: Layout) -> AsyncIterator[World]:
    async with books_world(servers.admin_url) as world:
        yield world


@pytest.fixture
def world(_databases: World) -> World:
    """Books that balance."""
    _databases.refill()
    return _databases


async def books(world: World) -> Books:
    """The outcome, without waiting."""
    async with world.reading() as query:
        return await examine(query, patience_s=0.0, second_look_s=0.0)


async def test_sound_books_balance(world: World) -> None:
    found = await books(world)

    assert found.discrepancies == ()
    assert found.balanced
    assert found.orders == 4
    assert found.document()["balanced"] is True


@pytest.mark.parametrize(
    ("check", "words", "damage"), DAMAGE, ids=[name.replace(" ", "-") for name, _, _ in DAMAGE]
)
async def test_damage_is_named(world: World, check: str, words: str, damage: list[str]) -> None:
    world.run(*damage)

    found = await books(world)

    assert not found.balanced
    assert any(one.check == check and one.text.startswith(words) for one in found.discrepancies), found


BELOW_ZERO = [
    (
        "stock is not below zero",
        "item 2: the stock is -1",
        "item_svc.items",
        "items_stock_is_never_below_zero",
        "stock",
    ),
    (
        "point balances are not below zero",
        "user 2: the balance is -1 points",
        "payment_svc.accounts",
        "accounts_not_below_zero",
        "balance",
    ),
]


@pytest.mark.parametrize(("check", "words", "table", "guard", "column"), BELOW_ZERO, ids=["stock", "points"])
async def test_what_is_below_zero_is_named(
    world: World, check: str, words: str, table: str, guard: str, column: str
) -> None:
    world.run(f"ALTER TABLE {table} DROP CONSTRAINT {guard}")  # the table itself refuses it otherwise
    try:
        world.run(f"UPDATE {table} SET {column} = -1")
        found = await books(world)
    finally:
        world.refill()
        world.run(f"ALTER TABLE {table} ADD CONSTRAINT {guard} CHECK ({column} >= 0)")

    assert (check, words) in {(one.check, one.text) for one in found.discrepancies}


def test_every_check_is_seen_to_fail() -> None:
    assert {check.name for check in CHECKS} == {name for name, *_ in (*DAMAGE, *BELOW_ZERO)}


async def test_a_payment_that_was_made_later_and_came_to_nothing_is_nobodys(world: World) -> None:
    world.run(
        "INSERT INTO payment_svc.payments (order_id, payment_id, attempt, state, user_id, method, amount,"
        f" details, asks, created_at, changed_at) VALUES ('{OPEN}', 'p8', 1, 'REJECTED', 3, 'card', 5,"
        f" '{{}}', 0, NOW(), NOW()),"
        f" ('{OPEN}', 'p9', 2, 'RELEASED', 3, 'points', 5, '{{}}', 0, NOW(), NOW())",
        _notification(9, 3, OPEN, "payment_refunded", "5"),
    )
    assert (await books(world)).balanced


CARD = "payment p1 of order " + DONE
CHARGES = [
    ([("p1", "DONE", 40080)], "HELD", []),
    ([], "HELD", [f"{CARD}: is HELD with 40080, but the payment gateway has charged nothing"]),
    ([("p1", "CANCELED", 40080)], "HELD", [f"{CARD}: is HELD with 40080, but"]),
    ([("p1", "DONE", 9)], "HELD", [f"{CARD}: is HELD with 40080, but the payment gateway has charged 9"]),
    ([("p1", "DONE", 9)], "RELEASED", [f"{CARD}: is RELEASED with 40080, but"]),
    ([("p1", "DONE", 9)], "ASKING", []),
    ([("p1", "ABORTED", 9)], "REJECTED", []),
    ([("p7", "DONE", 9)], "REJECTED", ["payment p7: charged with 9, but unknown to us"]),
]


@pytest.mark.parametrize(("charges", "state", "wrong"), CHARGES)
async def test_cards_are_compared_with_the_payment_gateway(
    world: World, charges: list[tuple[str, str, int]], state: str, wrong: list[str]
) -> None:
    world.run(f"UPDATE payment_svc.payments SET method = 'card', state = '{state}' WHERE payment_id = 'p1'")

    async def listed() -> list[cards.Charge]:
        return [cards.Charge(*charge) for charge in charges]

    async with world.reading() as query:
        found = await examine(query, charges=listed, patience_s=0.0, second_look_s=0.0)

    assert cards.CHECK in found.checks
    texts = [one.text for one in found.discrepancies if one.check == cards.CHECK]
    assert len(texts) == len(wrong)
    assert all(text.startswith(start) for text, start in zip(texts, wrong, strict=True))


async def test_a_payment_gateway_that_is_away_matters_only_with_card_payments(world: World) -> None:
    async def away() -> list[cards.Charge]:
        raise CannotRead("away")

    async with world.reading() as query:
        assert (await examine(query, charges=away, patience_s=0.0, second_look_s=0.0)).balanced
        world.run("UPDATE payment_svc.payments SET method = 'card'")
        with pytest.raises(CannotRead):
            await examine(query, charges=away, patience_s=0.0, second_look_s=0.0)


async def test_what_a_second_look_does_not_show_is_not_reported(world: World) -> None:
    world.run(
        "UPDATE item_svc.items SET stock = 12 WHERE id = 1",
        "UPDATE payment_svc.accounts SET balance = 1 WHERE user_id = 3",
    )
    healed = False
    async with world.reading() as query:

        async def ask(sql: str, args: Sequence[Any]) -> list[Row]:
            nonlocal healed
            rows = await query(sql, args)
            if not healed and "ledger GROUP BY user_id" in sql:
                healed = True
                world.run("UPDATE item_svc.items SET stock = 13 WHERE id = 1")
            return rows

        found = await examine(ask, patience_s=0.0, second_look_s=0.0)

    assert [one.check for one in found.discrepancies] == ["point balances equal their ledgers"]


async def test_it_waits_for_outboxes_and_unsettled_orders(world: World) -> None:
    world.run(
        "INSERT INTO order_svc.outbox (id, type, count, subjects, body, created_at, available_at, attempts)"
        " VALUES ('m1', 'x.happened', 1, '7', '[]', '2026-01-05', '2026-01-05', 0)"
    )

    async def settle() -> None:
        await asyncio.sleep(0.3)  # so long it must be waited for, which is what is looked at below
        world.run("DELETE FROM order_svc.outbox")
        world.run(
            f"UPDATE order_svc.orders SET status = 'COMPLETED', settled = 1 WHERE id = '{OPEN}'",
            f"UPDATE order_svc.participants SET stand = 'YES' WHERE order_id = '{OPEN}'",
        )

    async with world.reading() as query:
        found, _ = await asyncio.gather(examine(query, patience_s=20.0, second_look_s=0.0), settle())

    assert found.balanced
    assert 0.3 <= found.waited_s < 10.0


async def test_orders_placed_after_the_start_are_not_waited_for(world: World) -> None:
    world.run(
        f"UPDATE order_svc.orders SET created_at = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE WHERE id = '{OPEN}'"
    )

    async with world.reading() as query:
        found = await examine(query, patience_s=20.0, second_look_s=0.0)

    assert found.waited_s < 5.0


async def test_what_is_wrong_is_printed_with_its_ids(world: World) -> None:
    world.run("UPDATE item_svc.items SET stock = 12 WHERE id = 1")
    console = Console(file=StringIO(), width=60)

    show(console, await books(world))

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "The books do not balance: 2 discrepancies." in printed
    assert "stock adds up: item 1: initial 10 + adjustments 5 - held 2 = 13, but stock is 12" in printed


async def test_a_database_that_is_away_is_told() -> None:
    with pytest.raises(CannotRead, match="the databases cannot be read"):
        async with reading("mysql://verify:verify@127.0.0.1:1/"):
            pass


async def test_a_missing_table_is_told(servers: Layout) -> None:
    async with reading(servers.admin_url) as query:
        with pytest.raises(CannotRead, match="the databases cannot be read"):
            await query("SELECT 1 FROM no_such_database.orders", ())


def test_bad_arguments_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        verify_command.main(["--json", "/no/such/folder/x.json"])

    assert caught.value.code == 2
    assert "there is no directory /no/such/folder" in capsys.readouterr().err
