"""Claims: kept as they were answered, written once by whoever comes first, and released for good."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import pytest

from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.events.claims import Claim, Claims
from shared.ids import new_id
from shared.messages import Rejection, View
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


class Wanted(View, of="trips.wanted"):
    """A trip asks for a seat."""

    trip_id: UUID
    full: bool = False


async def _lock(tx: Transaction, *trips: UUID) -> dict[UUID, Claim]:
    [claims] = await tx.ask(TRIPS.of([Wanted(trip_id=trip) for trip in trips]))
    return claims


async def _answer(
    tx: Transaction, *asked: Wanted, decide: Callable[[Wanted], Rejection | None] | None = None
) -> list[Rejection | None]:
    known = await _lock(tx, *(one.trip_id for one in asked))
    answers = await TRIPS.answer(tx, known, asked, decide or _no_seats_if_full)
    assert [one for one, _ in answers] == list(asked)
    return [rejection for _, rejection in answers]


def _no_seats_if_full(wanted: Wanted) -> Rejection | None:
    return Rejection("full", {"seats": 0, "who": "김"}) if wanted.full else None


async def _release(db: Database, *trips: UUID) -> list[UUID]:
    given_back: list[UUID] = []

    async def undo(_: Transaction, held: Sequence[UUID]) -> None:
        given_back.extend(held)

    releases = [Wanted(trip_id=trip) for trip in trips]
    await db.transaction(lambda tx: TRIPS.release(tx, releases, undo))
    return given_back


async def test_claims_are_found_as_they_were_answered_and_others_are_not(db: Database) -> None:
    held, rejected = Wanted(trip_id=new_id()), Wanted(trip_id=new_id(), full=True)
    no = Rejection("full", {"seats": 0, "who": "김"})
    assert await db.transaction(lambda tx: _answer(tx, held, rejected, held)) == [None, no, None]
    found = await db.transaction(lambda tx: _lock(tx, new_id(), rejected.trip_id, held.trip_id))
    assert found == {
        held.trip_id: Claim(held.trip_id, "HELD"),
        rejected.trip_id: Claim(rejected.trip_id, "REJECTED", "full", {"seats": 0, "who": "김"}),
    }
    assert await db.transaction(_lock) == {}
    assert await db.transaction(_answer) == []


async def test_what_is_known_is_not_decided_again(db: Database) -> None:
    asked = [Wanted(trip_id=new_id()), Wanted(trip_id=new_id(), full=True)]
    first = await db.transaction(lambda tx: _answer(tx, *asked))

    def never(_: Wanted) -> Rejection | None:
        raise AssertionError("asked again")

    assert await db.transaction(lambda tx: _answer(tx, *asked, decide=never)) == first


async def test_only_what_is_held_is_given_back_and_once(db: Database) -> None:
    held, kept, rejected, unseen = (Wanted(trip_id=new_id(), full=number == 2) for number in range(4))
    await db.transaction(lambda tx: _answer(tx, held, kept, rejected))
    asked = [one.trip_id for one in (unseen, rejected, held, held)]
    assert await _release(db, *asked) == [held.trip_id]
    assert await _release(db, *asked) == []
    assert await _release(db) == []
    found = await db.transaction(lambda tx: _lock(tx, kept.trip_id, *asked))
    assert {trip for trip, claim in found.items() if claim.state == "RELEASED"} == set(asked)
    answers = await db.transaction(lambda tx: _answer(tx, held, kept, rejected, unseen))
    assert [no.reason if no else None for no in answers] == ["released", None, "full", "released"]


async def test_of_twins_the_slower_one_says_what_the_faster_one_answered(db: Database) -> None:
    wanted = Wanted(trip_id=new_id())
    answers = await asyncio.gather(
        *(
            db.transaction(
                lambda tx, no=no: _answer(tx, wanted, decide=lambda _: Rejection(no, {}) if no else None)
            )
            for no in ["", *(f"reason {number}" for number in range(5))]
        )
    )
    assert len(set(map(str, answers))) == 1
    [claim] = (await db.transaction(lambda tx: _lock(tx, wanted.trip_id))).values()
    assert [claim.rejection] == answers[0]
