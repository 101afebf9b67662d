"""Claims: kept as they were answered, written once by whoever comes first, and released for good."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.events.claims import Claim, Claims
from shared.ids import new_id
from tests.shared.lab import Lab

TRIPS = Claims("trip_claims", key="trip_id")


@pytest.fixture(autouse=True)
async def _table(db: Database, lab: Lab) -> AsyncIterator[None]:
    await lab.sql(
        db.url,
        "CREATE TABLE trip_claims (trip_id CHAR(36) PRIMARY KEY, state VARCHAR(10) NOT NULL,"
        " reason VARCHAR(40), details TEXT,"
        " created_at DATETIME(6) NOT NULL, changed_at DATETIME(6) NOT NULL)",
    )
    yield
    await lab.sql(db.url, "DROP TABLE trip_claims")


async def _lock(tx: Transaction, *trips: UUID) -> dict[UUID, Claim]:
    [claims] = await tx.ask(TRIPS.locked(trips))
    return claims


async def test_claims_are_found_as_they_were_written_and_others_are_not(db: Database) -> None:
    held, rejected, unknown = new_id(), new_id(), new_id()
    made = {held: Claim("HELD"), rejected: Claim("REJECTED", "full", {"seats": 0, "who": "김"})}
    await db.transaction(lambda tx: TRIPS.add(tx, made))
    assert await db.transaction(lambda tx: _lock(tx, unknown, rejected, held)) == made
    assert await db.transaction(_lock) == {}


async def test_released_claims_hold_nothing_and_the_others_stay(db: Database) -> None:
    given_back, kept = new_id(), new_id()
    await db.transaction(lambda tx: TRIPS.add(tx, {given_back: Claim("HELD"), kept: Claim("HELD")}))
    await db.transaction(lambda tx: TRIPS.release(tx, [given_back]))
    await db.transaction(lambda tx: TRIPS.release(tx, []))
    found = await db.transaction(lambda tx: _lock(tx, given_back, kept))
    assert {trip: claim.state for trip, claim in found.items()} == {given_back: "RELEASED", kept: "HELD"}


async def test_of_twins_the_slower_one_finds_what_the_faster_one_answered(
    db: Database,
) -> None:
    trip = new_id()

    async def answer(tx: Transaction, mine: Claim) -> Claim:
        known = await _lock(tx, trip)
        if trip not in known:
            await TRIPS.add(tx, {trip: mine})
        return known.get(trip, mine)

    wishes = [Claim("HELD"), *(Claim("REJECTED", f"reason {number}") for number in range(5))]
    answers = await asyncio.gather(
        *(db.transaction(lambda tx, mine=mine: answer(tx, mine)) for mine in wishes)
    )
    assert len(set(map(str, answers))) == 1
    assert (await db.transaction(lambda tx: _lock(tx, trip)))[trip] == answers[0]
