"""Claims: what a service answered when it was asked to take part in something, so that it repeats itself.

Each service keeps them in a table of its own, by the id of what it took part in, the subject. They are
locked and written for whole lists at once, and never purged: repetitions may come late.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from shared.database.transaction import Query, Transaction, among

ClaimState = Literal["HELD", "REJECTED", "RELEASED"]


class Claim(NamedTuple):
    """What was answered, or that it was given back (or called off before it was ever seen)."""

    state: ClaimState
    reason: str | None = None
    details: dict[str, Any] | None = None


def _claims(rows: list[tuple[Any, ...]]) -> dict[UUID, Claim]:
    return {
        UUID(subject): Claim(state, reason, msgspec.json.decode(details) if details else None)
        for subject, state, reason, details in rows
    }


class Claims:
    """The claims of one service: the rows of `table`, whose column `key` is the subject."""

    def __init__(self, table: str, *, key: str) -> None:
        self._table = table
        self._key = key

    def locked(self, ids: Collection[UUID]) -> Query[dict[UUID, Claim]]:
        """The claims of those subjects that have one, locked in the order of their ids against deadlocks."""
        sql = (
            f"SELECT {self._key}, state, reason, details FROM {self._table}"  # noqa: S608  names of our own
            f" WHERE {self._key} IN %s ORDER BY {self._key} FOR UPDATE"
        )
        return among(sql, ids, _claims)

    async def add(self, tx: Transaction, claims: Mapping[UUID, Claim]) -> None:
        """Write claims of subjects that had none; a twin that was faster makes the whole unit run again."""
        await tx.write_many(
            f"INSERT INTO {self._table} ({self._key}, state, reason, details, created_at, changed_at)"  # noqa: S608
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    subject,
                    claim.state,
                    claim.reason,
                    None if claim.details is None else msgspec.json.encode(claim.details).decode(),
                    tx.now,
                    tx.now,
                )
                for subject, claim in sorted(claims.items())
            ],
        )

    async def release(self, tx: Transaction, ids: Collection[UUID]) -> None:
        """The claims of these subjects hold nothing from now on."""
        if ids:
            await tx.write(
                f"UPDATE {self._table} SET state = 'RELEASED', changed_at = %s WHERE {self._key} IN %s",  # noqa: S608
                [tx.now, sorted(ids)],
            )
