"""The check of the books on real databases: what it reads, waits for, looks at twice and prints."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from deploy.local.layout import Layout
from ops.databases import CannotRead, reading
from ops.verify import __main__ as verify_command
from ops.verify.books import Books, examine, show
from ops.verify.one_schema import STATEMENTS, look
from ops.verify.source import Databases
from payment_svc.pgs import Entry, NoAnswer
from tests.ops.books_memory import ListedPg
from tests.ops.books_rows import ASKING, CANCELLED, DONE, GIVING_BACK, OPEN, UNPAID, payment_id, sound_pg
from tests.ops.books_world import World, books_world

# In the sound world these are under way for ever.
WAITING = (ASKING, GIVING_BACK, OPEN)


@pytest.fixture(scope="module")
async def _databases(servers: Layout) -> AsyncIterator[World]:
    async with books_world(servers.admin_url) as world:
        yield world


@pytest.fixture
def world(_databases: World) -> World:
    """Books that balance."""
    _databases.refill()
    return _databases


async def books(world: World, pg: Sequence[Entry] | None = None) -> Books:
    """The outcome, without waiting."""
    async with Databases(world.url_of) as source:
        listed = ListedPg(sound_pg() if pg is None else pg)
        return await examine(source, pg=listed, patience_s=0.0, second_look_s=0.0)


async def test_sound_books_balance(world: World) -> None:
    found = await books(world)

    assert found.discrepancies == ()
    assert found.balanced
    assert found.orders == 11
    document = found.document()
    assert document["balanced"] is True
    assert document["attention"] == {"payments": [payment_id(7)], "won": 49_000}
    assert document["kept"] == {"payments": [payment_id(8)], "won": 49_800}


DAMAGE = [
    # Service, what is done to its database, the check that tells it, and how its words begin.
    ("item", "UPDATE items SET stock = 12 WHERE id = 1", "stock adds up", "item 1: initial 10 and"),
    (
        "item",
        "UPDATE stock_history SET balance = 99 WHERE id = 6",
        "stock entries note what is there after them",
        "stock of item 1: entry 6 notes 99, but 14 and -1 are 13",
    ),
    (
        "order",
        f"DELETE FROM participants WHERE order_id = '{OPEN}'",
        "orders agree with their participants",
        f"order {OPEN}: is PENDING, settled no, but its participants are none",
    ),
    (
        "coupon",
        "UPDATE coupon_policies SET valid_until = '2026-01-05 10:00:00' WHERE id = 2",
        "discounts follow from the buyer's coupons",
        f"order {DONE}: coupon_invalid (user_coupon_id 2, why expired",
    ),
    (
        "payment",
        "UPDATE ledger SET balance = 7 WHERE id = 3",
        "ledger entries note the balance after them",
        "ledger of user 2: entry 3 notes 7",
    ),
    (
        "payment",
        "UPDATE payments SET user_id = 3 WHERE attempt = 1 AND state = 'HELD'",
        "payments are of their order's buyer and total",
        f"payment {payment_id(5)} of order",
    ),
    (
        "user",
        f"DELETE FROM notifications WHERE order_id = '{CANCELLED}' AND kind = 'payment_refunded'",
        "payers are told of what they got back",
        f"payment {payment_id(2)} of order {CANCELLED}: 39780 were given back, but user 2 was not told",
    ),
    (
        "query",
        f"UPDATE saga_event_log SET event_data = '{{}}' WHERE saga_id = '{DONE}'"
        " AND event_type = 'order.completed'",
        "stored events are what their publishers say",
        "event ",
    ),
    (
        "query",
        "UPDATE item_sales SET quantity = 4 WHERE period = 'week' AND item_id = 2",
        "rankings are those of the orders",
        "rankings of the week from 2026-01-05: 6 / 89880 / 10 /",
    ),
]


@pytest.mark.parametrize(("service", "damage", "check", "words"), DAMAGE, ids=[one[2] for one in DAMAGE])
async def test_damage_is_named(world: World, service: str, damage: str, check: str, words: str) -> None:
    world.run(service, damage)
    found = await books(world)
    assert any(one.check == check and one.text.startswith(words) for one in found.discrepancies), found


_KEPT = (
    "INSERT INTO kept_answers (id, owner, `call`, fingerprint, answer, running_until, created_at)"
    " VALUES ('k1', {owner}, '{call}', '', '{answer}', NOW(), NOW())"
)
KEYS = "idempotency keys name what exists"
STATEMENT_DAMAGE = [
    (
        "item",
        "UPDATE cart_lines SET item_id = 77 WHERE user_id = 2",
        "carts hold pieces of items",
        "cart of user 2: has 1 of item 77, which is unknown",
    ),
    (
        "coupon",
        "DELETE FROM user_coupons WHERE id = 3",
        "no more coupons are out than there are",
        "coupon policy 1: 2 are out of 3, but 3 were counted",
    ),
    (
        "coupon",
        "UPDATE coupon_policies SET quantity = 2, issued = 2 WHERE id = 1",
        "no more coupons are out than there are",
        "coupon policy 1: 3 are out of 2, but 2 were counted",
    ),
    (
        "coupon",
        "UPDATE user_coupons SET user_id = 2 WHERE id IN (3, 4)",
        "nobody has more of a coupon than allowed",
        "coupon policy 1: user 2 has 3, but 2 is the limit",
    ),
    (
        "coupon",
        "INSERT INTO user_coupons (id, user_id, policy_id, issued_at) VALUES (9, 2, 9, NOW())",
        "coupons are of policies that exist",
        "coupon 9: is of policy 9, which is unknown",
    ),
    *(
        ("order", _KEPT.format(owner=owner, call="order.place", answer=answer), KEYS, words)
        for owner, answer, words in (
            (3, f'{{"id":"{DONE}"}}', f"kept answer k1 of user 3: names order {DONE}, which is of 2"),
            (2, f'{{"id":"{payment_id(1)}"}}', f"kept answer k1 of user 2: names order {payment_id(1)}"),
            (3, f'{{"order_id":"{DONE}"}}', f"kept answer k1 of user 3: names order {DONE}, which is of 2"),
        )
    ),
    *(
        ("payment", _KEPT.format(owner=3, call=call, answer=f'{{"{name}":"{names}"}}'), KEYS, words)
        for call, name, names, words in (
            ("payment.pay", "id", payment_id(5), f"kept answer k1 of user 3: names payment {payment_id(5)}"),
            ("payment.charge", "payment_id", DONE, f"kept answer k1 of user 3: names payment {DONE}"),
        )
    ),
    *(
        (
            service,
            "INSERT INTO outbox (id, type, count, subjects, body, created_at, available_at, attempts)"
            " VALUES ('m1', 'x.happened', 1, '7', '[]', '2026-01-05 10:00:00', '2026-01-05 10:00:00', 3)",
            "outboxes are drained",
            f"{service}: x.happened about 7 waits in the outbox since 2026-01-05 10:00:00 UTC, 3 attempts",
        )
        for service in ("user", "item", "coupon", "order", "payment", "query")
    ),
]


async def _statements(world: World) -> list[tuple[str, str]]:
    async with Databases(world.url_of) as source:
        return [
            (statement.name, text)
            for statement in STATEMENTS
            for text in (await look(source, statement)).values()
        ]


@pytest.mark.parametrize(("service", "damage", "check", "words"), STATEMENT_DAMAGE)
async def test_damage_is_named_by_the_statement_about_it_alone(
    world: World, service: str, damage: str, check: str, words: str
) -> None:
    assert await _statements(world) == []
    world.run(service, damage)
    found = await _statements(world)
    assert {name for name, _ in found} == {check}
    assert all(text.startswith(words) for _, text in found), found


async def test_answers_that_name_what_is_the_askers_own_are_right(world: World) -> None:
    world.run("order", _KEPT.format(owner=2, call="order.place", answer=f'{{"id":"{DONE}"}}'))
    world.run("payment", _KEPT.format(owner=2, call="payment.pay", answer=f'{{"id":"{payment_id(5)}"}}'))
    assert await _statements(world) == []


def test_every_statement_is_seen_to_fail() -> None:
    assert {(statement.name, statement.service) for statement in STATEMENTS} == {
        (check, service) for service, _, check, _ in STATEMENT_DAMAGE
    }


async def test_a_payment_gateway_that_is_away_matters_only_with_card_payments(world: World) -> None:
    class Away:
        async def transactions(self, since: datetime, until: datetime) -> AsyncIterator[Entry]:
            raise NoAnswer("away")
            yield

    async with Databases(world.url_of) as source:
        with pytest.raises(CannotRead):
            await examine(source, pg=Away(), patience_s=0.0, second_look_s=0.0)
        world.run("payment", "UPDATE payments SET method = 'points' WHERE method = 'card'")
        found = await examine(source, pg=Away(), patience_s=0.0, second_look_s=0.0)
    assert "card payments agree with the payment gateway" in found.checks


class Healing(Databases):
    """Databases in which something is mended once everything has been looked at."""

    def __init__(self, url_of: Callable[[str], str], heal: Callable[[], None]) -> None:
        super().__init__(url_of)
        self._heal: Callable[[], None] | None = heal

    def streams(self, readings: Any, keys: Any = None) -> Any:
        if self._heal and keys is not None:  # the second look
            self._heal()
            self._heal = None
        return super().streams(readings, keys)


async def test_what_a_second_look_does_not_show_is_not_reported(world: World) -> None:
    world.run("order", f"UPDATE orders SET total = 1, paid = 1 WHERE id = '{UNPAID}'")
    world.run("payment", "UPDATE accounts SET balance = 1 WHERE user_id = 3")

    def heal() -> None:
        world.run("order", f"UPDATE orders SET total = 49800, paid = 0 WHERE id = '{UNPAID}'")

    async with Healing(world.url_of, heal) as source:
        found = await examine(source, patience_s=0.0, second_look_s=0.0)

    assert [one.check for one in found.discrepancies] == ["point balances equal their ledgers"]


async def test_what_only_follows_its_cause_is_waited_for(world: World) -> None:
    """An event on its way to the read side is no discrepancy."""
    _rest(world)
    world.run("query", f"UPDATE order_views SET status = 'PENDING' WHERE order_id = '{DONE}'")

    async def arrive() -> None:
        await asyncio.sleep(0.5)  # so long it must be waited for, which is what is looked at below
        world.run("query", f"UPDATE order_views SET status = 'COMPLETED' WHERE order_id = '{DONE}'")

    async with Databases(world.url_of) as source:
        found, _ = await asyncio.gather(examine(source, patience_s=3.0, second_look_s=0.1), arrive())

    assert not [one for one in found.discrepancies if DONE in one.text]


def _rest(world: World) -> None:
    """Let nothing be under way, whatever that does to the books."""
    world.run("order", f"UPDATE orders SET settled = 1 WHERE id IN {WAITING}")
    world.run("payment", "UPDATE payments SET state = 'REJECTED' WHERE state = 'ASKING'")


async def test_it_waits_for_outboxes_and_unsettled_orders_but_for_no_person(world: World) -> None:
    world.run(
        "order",
        "INSERT INTO outbox (id, type, count, subjects, body, created_at, available_at, attempts)"
        " VALUES ('m1', 'x.happened', 1, '7', '[]', '2026-01-05', '2026-01-05', 0)",
    )

    async def settle() -> None:
        await asyncio.sleep(0.3)  # so long it must be waited for, which is what is looked at below
        world.run("order", "DELETE FROM outbox")
        _rest(world)

    async with Databases(world.url_of) as source:
        found, _ = await asyncio.gather(examine(source, patience_s=1.5, second_look_s=0.0), settle())

    assert 0.3 <= found.waited_s < 1.5


async def test_orders_placed_after_the_start_are_not_waited_for(world: World) -> None:
    world.run(
        "order",
        f"UPDATE orders SET created_at = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE WHERE id IN {WAITING}",
    )
    world.run("payment", "UPDATE payments SET state = 'REJECTED' WHERE state = 'ASKING'")

    async with Databases(world.url_of) as source:
        found = await examine(source, patience_s=1.5, second_look_s=0.0)

    assert found.waited_s < 1.5


BELOW_ZERO = [
    ("item", "items", "stock", "items_stock_is_never_below_zero", "item 2: the stock is -1"),
    ("payment", "accounts", "balance", "accounts_not_below_zero", "user 2: the balance is -1 points"),
]


@pytest.mark.parametrize(("service", "table", "column", "guard", "words"), BELOW_ZERO)
async def test_what_is_below_zero_is_named(
    world: World, service: str, table: str, column: str, guard: str, words: str
) -> None:
    world.run(
        service, f"ALTER TABLE {table} DROP CONSTRAINT {guard}"
    )  # the table itself refuses it otherwise
    try:
        world.run(service, f"UPDATE {table} SET {column} = -1")
        found = await books(world)
    finally:
        world.refill()
        world.run(service, f"ALTER TABLE {table} ADD CONSTRAINT {guard} CHECK ({column} >= 0)")

    assert words in {one.text for one in found.discrepancies}


async def test_what_is_wrong_is_printed_with_its_ids_and_what_is_open_with_its_sum(world: World) -> None:
    world.run("item", "UPDATE items SET stock = 12 WHERE id = 1")
    console = Console(file=StringIO(), width=60)

    show(console, await books(world))

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "The books do not balance: 1 discrepancy." in printed
    assert "stock adds up: item 1: initial 10 and what its history adds are 9, but the stock is 12" in printed
    assert f"1 payment waiting for a person to decide, 49,000 won: {payment_id(7)}" in printed
    assert f"1 payment kept by a person's decision, 49,800 won: {payment_id(8)}" in printed


async def test_a_database_that_is_away_is_told() -> None:
    with pytest.raises(CannotRead, match="the databases cannot be read"):
        async with reading("mysql://verify:verify@127.0.0.1:1/"):
            pass
    async with Databases(lambda service: "mysql://verify:verify@127.0.0.1:1/") as source:
        with pytest.raises(CannotRead, match="the databases cannot be read"):
            await examine(source)


async def test_a_missing_table_is_told(servers: Layout, world: World) -> None:
    async with reading(servers.admin_url) as query:
        with pytest.raises(CannotRead, match="the databases cannot be read"):
            await query("SELECT 1 FROM no_such_database.orders", ())
    async with Databases(world.url_of) as source:
        with pytest.raises(CannotRead, match="the database of order cannot be read"):
            await source.ask("order", "SELECT 1 FROM no_such_table")


def test_bad_arguments_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        verify_command.main(["--json", "/no/such/folder/x.json"])

    assert caught.value.code == 2
    assert "there is no directory /no/such/folder" in capsys.readouterr().err
