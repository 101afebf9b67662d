"""What must hold of users who are gone: some time later, nothing personal of them is kept anywhere."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import coupon_svc.personal
import item_svc.personal
import order_svc.personal
import payment_svc.personal
import query_svc.personal
import user_svc.personal
from ops.verify.check import Book, Check, Facts
from ops.verify.source import Source

WITHIN = timedelta(days=2)
"""So long an erasure may take; it is told at once and once more after a day."""
HELD = {
    "user": user_svc.personal.HELD,
    "item": item_svc.personal.HELD,
    "coupon": coupon_svc.personal.HELD,
    "order": order_svc.personal.HELD,
    "payment": payment_svc.personal.HELD,
    "query": query_svc.personal.HELD,
}


class Gone(NamedTuple):
    """A user who is gone, and where rows of theirs are that should be, too."""

    user_id: int
    left: list[str]


def _erased(gone: Gone) -> Iterator[str]:
    for place in gone.left:
        yield f"user {gone.user_id}: has had the account deleted, but {place} still holds something personal"


async def pages(
    source: Source, facts: Facts, keys: Collection[Any] | None
) -> AsyncIterator[Sequence[tuple[int, Gone]]]:
    """All whose time is over, or some."""
    found = await source.ask(
        "user",
        "SELECT user_id FROM erasures WHERE asked_at < UTC_TIMESTAMP(6) - INTERVAL %s SECOND",
        (int(WITHIN.total_seconds()),),
    )
    gone = {row["user_id"]: Gone(row["user_id"], []) for row in found}
    wanted = sorted(gone if keys is None else set(keys) & set(gone))
    if not wanted:
        return
    for service, tables in HELD.items():
        for one in tables:
            condition, values = one.unerased
            rows = await source.ask(
                service,
                f"SELECT DISTINCT `{one.whose}` AS user_id FROM `{one.table}`"
                f" WHERE `{one.whose}` IN %s AND {condition}",
                (wanted, *values),
            )
            for row in rows:
                gone[row["user_id"]].left.append(f"{one.table} of {service}")
    yield [(number, gone[number]) for number in wanted]


ERASURE_BOOK = Book("erasures", (Check("who is gone has left nothing personal", _erased),), pages)
