"""Migration 0004 on the rows of a shop that has been running: they are mended before they are checked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.local.layout import Layout
from payment_svc.service import service
from shared.database.units import Database
from tests.support.databases import fresh_database, migrate, migrate_killed

BEFORE = "0003_bytewise_ids"

# Number, state, amount, key, due at, reason; numbers sort by age.
PAYMENTS: list[tuple[str, str, int | None, str | None, str | None, str | None]] = [
    ("01-lost-release", "RELEASING", 500, "k01", None, None),
    ("02-lost-question", "ASKING", 500, "k02", None, None),
    ("03-due", "ASKING", 500, "k03", "2026-01-01 00:00:00", None),
    ("04-held", "HELD", 500, "k04", None, None),
    ("05-given-back", "RELEASED", 500, "k05", None, None),
    ("06-declined", "RELEASED", 500, "k06", None, "card_declined"),
    ("07-tombstone", "RELEASED", None, None, None, None),
    ("10-oldest", "HELD", 500, "twice", None, None),
    ("11-held", "HELD", 500, "twice", None, None),
    ("12-asking", "ASKING", 500, "twice", "2026-01-01 00:00:00", None),
    ("13-releasing", "RELEASING", 500, "twice", None, None),
    ("14-rejected", "REJECTED", 500, "twice", None, "card_declined"),
    ("15-released", "RELEASED", 500, "twice", None, None),
    ("20-upper", "HELD", 500, "CASE", None, None),
    ("21-lower", "HELD", 500, "case", None, None),
]
# Kind, delta, balance: points were had for the asking once.
LEDGER = [("opening", 0, 0), ("charge", 100, 100), ("capture", -40, 60), ("refund", 40, 100)]


@pytest.fixture(scope="module")
async def migrated(servers: Layout) -> AsyncIterator[Database]:
    async with fresh_database("payment_svc", service, until=BEFORE) as database:
        for number, (payment_id, state, amount, key, due_at, reason) in enumerate(PAYMENTS):
            await database.execute(
                "INSERT INTO payments (payment_id, order_id, attempt, state, user_id, method, amount, reason,"
                " details, card_key, asks, ask_due_at, created_at, changed_at)"
                " VALUES (%s, %s, 0, %s, 7, 'card', %s, %s, '{}', %s, 0, %s, NOW(6), NOW(6))",
                (payment_id, f"order-{number}", state, amount, reason, key, due_at),
            )
        await database.execute(
            "INSERT INTO accounts (user_id, balance, state, opened_at) VALUES (7, 100, 'OPEN', NOW(6))"
        )
        for number, (kind, delta, balance) in enumerate(LEDGER):
            await database.execute(
                "INSERT INTO ledger (user_id, delta, balance, kind, charge_key, at)"
                " VALUES (7, %s, %s, %s, %s, NOW(6))",
                (delta, balance, kind, f"key-{number}" if kind == "charge" else None),
            )
        # It goes on where it was killed: between a table and the note of it, then between a change of rows
        # and the commit.
        await migrate_killed("payment_svc", database.url, statement=2, like="CREATE TABLE")
        await migrate_killed("payment_svc", database.url, statement=6, like="UPDATE")
        await migrate("payment_svc", database.url, seed=False)
        yield database


async def _rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    return await database.read(lambda reader: reader.rows(sql))


async def test_nothing_is_left_of_having_been_killed(migrated: Database) -> None:
    assert await _rows(migrated, "SELECT * FROM migration_steps") == []


async def test_what_waits_is_looked_at_again(migrated: Database) -> None:
    rows = await _rows(migrated, "SELECT payment_id FROM payments WHERE ask_due_at IS NOT NULL ORDER BY 1")
    assert rows == [("01-lost-release",), ("02-lost-question",), ("03-due",)]


async def test_a_key_stays_with_the_oldest_and_a_person_decides_about_the_others(migrated: Database) -> None:
    rows = await _rows(
        migrated,
        "SELECT payment_id, state, card_key, reason, details FROM payments WHERE payment_id LIKE '1%'"
        " ORDER BY payment_id",
    )
    assert [row[:4] for row in rows] == [
        ("10-oldest", "HELD", "twice", None),
        ("11-held", "NEEDS_ATTENTION", None, "key_used_twice"),
        ("12-asking", "NEEDS_ATTENTION", None, "key_used_twice"),
        ("13-releasing", "NEEDS_ATTENTION", None, "key_used_twice"),
        ("14-rejected", "REJECTED", None, "card_declined"),
        ("15-released", "RELEASED", None, None),
    ]
    assert ['"wanted":"cancel"' in row[4] for row in rows[1:4]] == [False, False, True]
    assert all("PAYMENT_KEY_USED" in row[4] for row in rows[1:4])


async def test_keys_that_differ_in_case_are_two(migrated: Database) -> None:
    rows = await _rows(
        migrated, "SELECT state, card_key FROM payments WHERE payment_id LIKE '2%' ORDER BY payment_id"
    )
    assert rows == [("HELD", "CASE"), ("HELD", "case")]


async def test_what_was_given_back_is_counted_as_such(migrated: Database) -> None:
    rows = await _rows(
        migrated, "SELECT payment_id, refunded, released FROM payments WHERE refunded > 0 ORDER BY 1"
    )
    assert rows == [("05-given-back", 500, 500), ("15-released", 500, 500)]


async def test_points_had_for_the_asking_were_given(migrated: Database) -> None:
    rows = await _rows(migrated, "SELECT kind, delta, note FROM ledger ORDER BY id")
    assert rows == [
        ("opening", 0, None),
        ("grant", 100, "charged when no card was asked"),
        ("capture", -40, None),
        ("refund", 40, None),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'ASKING', ask_due_at = NULL",
        "state = 'RELEASING', ask_due_at = NULL",
        "refunded = 501",
        "refunded = -1",
        "refunded = 100, released = 101",
        "released = -1",
        "amount = NULL, refunded = 1",
        "card_key = 'twice'",
    ],
)
async def test_what_must_not_be_cannot_be_written(migrated: Database, change: str) -> None:
    before = await _rows(migrated, "SELECT * FROM payments ORDER BY payment_id")
    with pytest.raises(Exception, match=r"(?i)constraint|duplicate"):
        await migrated.execute(f"UPDATE payments SET {change} WHERE payment_id = '04-held'")
    assert await _rows(migrated, "SELECT * FROM payments ORDER BY payment_id") == before


@pytest.mark.parametrize("state", ["ASKING", "RELEASING", "HELD", "RELEASED", "NEEDS_ATTENTION", "KEPT"])
async def test_what_is_looked_at_may_stand_in_any_state(migrated: Database, state: str) -> None:
    sql = "UPDATE payments SET state = %s, ask_due_at = NOW(6) WHERE payment_id = '03-due'"
    assert await migrated.execute(sql, (state,)) == 1
