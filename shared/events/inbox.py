"""The inbox: which events a consumer has taken in, kept in the transaction of what they caused."""

from collections.abc import Sequence

from shared.database.queries import Row, Select
from shared.database.transaction import Transaction


class _Seen(Row):
    event_id: str


_SEEN = Select(_Seen, "FROM inbox WHERE consumer = %s AND event_id IN %s FOR UPDATE")


class Inbox:
    """The inbox of one consumer."""

    def __init__(self, consumer: str) -> None:
        self.consumer = consumer

    async def take_in(self, tx: Transaction, event_ids: Sequence[str]) -> set[str]:
        """Write the ids down and return those that were not there before.

        Inserted before anything else: a twin that handles the same event at the same time waits here for our
        commit, and then sees the row. Repeats within one list count once.
        """
        ids = sorted(set(event_ids))
        fresh = set(ids) - {one.event_id for one in await tx.find(_SEEN, self.consumer, ids)}
        await tx.write_many(
            "INSERT INTO inbox (consumer, event_id, received_at) VALUES (%s, %s, %s)",
            [(self.consumer, event_id, tx.now) for event_id in sorted(fresh)],
        )
        return fresh
