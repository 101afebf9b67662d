"""Taking part in what others began: each is answered once, as before when it comes again, and undone once.

What was answered is kept as a claim, in a table of the service's own, by the id of what it took part in, the
subject. A subject that was released before it was ever seen has a claim as well (a tombstone), so that it
gets nothing when it comes after all. Claims are locked and written for whole lists at once, and never purged:
repetitions may come late.

    CLAIMS = Claims("seat_claims", key="trip_id")

    async def seat(trips: list[TripBooked], tx: Transaction) -> None:
        known, free = await tx.ask(CLAIMS.of(trips), locked_seats(trips))
        ...  # def decide(trip): take of `free` what it wants, or return why not
        for trip, rejection in await CLAIMS.answer(tx, known, trips, decide):
            tx.emit(...)
        ...  # write down what was taken

    async def give_back(releases: list[ReleaseSeats], tx: Transaction) -> None:
        await CLAIMS.release(tx, releases, undo)
        ...  # acknowledge each

Claims are locked before what is taken, and new ones are written after that has been locked: lists that have
subjects or things in common wait for each other, and never in a circle.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from shared.database.queries import Query, Row, Select
from shared.database.transaction import Transaction
from shared.messages import Rejection, View

ClaimState = Literal["HELD", "REJECTED", "RELEASED"]

Asked = TypeVar("Asked", bound=View)


class Claim(Row):
    """What a subject was answered, or that it was given back (or called off before it was ever seen)."""

    subject: UUID
    state: ClaimState
    reason: str | None = None
    details: dict[str, Any] | None = None

    @property
    def rejection(self) -> Rejection | None:
        """Why the subject gets nothing; None where it holds what it asked for."""
        if self.state == "HELD":
            return None
        return Rejection(self.reason or "released", self.details or {})


class Claims:
    """The claims of one service: the rows of `table`. Messages name the subject as its column `key` does."""

    def __init__(self, table: str, *, key: str) -> None:
        self._table = table
        self._key = key
        # In the order of their ids, against deadlocks.
        self._locking = Select(
            Claim, f"FROM {table} WHERE {key} IN %s ORDER BY {key} FOR UPDATE", made={"subject": key}
        )

    def of(self, messages: Collection[View]) -> Query[dict[UUID, Claim]]:
        """The claims of those of the messages' subjects that have one, locked."""
        return self._locking.among(self._subjects(messages)).then(_by_subject)

    async def answer(
        self,
        tx: Transaction,
        known: Mapping[UUID, Claim],
        asked: Sequence[Asked],
        decide: Callable[[Asked], Rejection | None],
    ) -> list[tuple[Asked, Rejection | None]]:
        """What each of those who asked is to be told: why not, or None for one that holds what it asked for.

        `known` is what `of` found. `decide` is asked once for each new subject, in turn, and notes what it
        takes; one that is known is told again what it was told before. A twin that answers the same subject
        at this moment shows as a duplicate, and makes the whole unit run again.
        """
        claims = dict(known)
        made: list[Claim] = []
        answers: list[tuple[Asked, Rejection | None]] = []
        for one in asked:
            subject = self._subject(one)
            claim = claims.get(subject)
            if claim is None:
                rejection = decide(one)
                claim = (
                    Claim(subject, "HELD") if rejection is None else Claim(subject, "REJECTED", *rejection)
                )
                claims[subject] = claim
                made.append(claim)
            answers.append((one, claim.rejection))
        await self._add(tx, made)
        return answers

    async def release(
        self,
        tx: Transaction,
        releases: Sequence[View],
        undo: Callable[[Transaction, Sequence[UUID]], Awaitable[None]],
    ) -> None:
        """Have these subjects hold nothing from now on, as often as it is asked.

        `undo` gives back what some of them hold, and is given their ids, in order; for none it is not called.
        """
        [known] = await tx.ask(self.of(releases))
        if held := [subject for subject, claim in known.items() if claim.state == "HELD"]:
            await undo(tx, held)
        if changed := [subject for subject, claim in known.items() if claim.state != "RELEASED"]:
            await tx.write(
                f"UPDATE {self._table} SET state = 'RELEASED', changed_at = %s WHERE {self._key} IN %s",
                [tx.now, changed],
            )
        await self._add(tx, [Claim(one, "RELEASED") for one in self._subjects(releases) - known.keys()])

    def _subject(self, message: View) -> UUID:
        return getattr(message, self._key)

    def _subjects(self, messages: Collection[View]) -> set[UUID]:
        return set(map(self._subject, messages))

    async def _add(self, tx: Transaction, claims: Sequence[Claim]) -> None:
        await tx.write_many(
            f"INSERT INTO {self._table} ({self._key}, state, reason, details, created_at, changed_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    claim.subject,
                    claim.state,
                    claim.reason,
                    None if claim.details is None else msgspec.json.encode(claim.details).decode(),
                    tx.now,
                    tx.now,
                )
                for claim in sorted(claims, key=lambda one: one.subject)
            ],
        )


def _by_subject(claims: list[Claim]) -> dict[UUID, Claim]:
    return {claim.subject: claim for claim in claims}
