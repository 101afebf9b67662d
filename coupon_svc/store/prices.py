"""Coupon's own copy of item prices, as rows.

Events come in any order, so the version decides which price is the later one. That an item was deleted is
final: whatever else is told of it, it stays so.
"""

from collections.abc import Collection, Sequence

from msgspec.structs import astuple

from shared.database import Reader, Row, Select, Transaction


class Price(Row, order=True):
    """What is known of an item at a version of it; `price` means nothing once it is deleted."""

    item_id: int
    price: int
    version: int
    deleted: bool = False


KNOWN = Select(Price, "FROM item_prices WHERE item_id IN %s")


async def learn(tx: Transaction, told: Sequence[Price]) -> None:
    """Keep what is news."""
    # Assignments are made from left to right: `version` is the old one until the last of them.
    await tx.write_many(
        "INSERT INTO item_prices (item_id, price, version, deleted) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE deleted = deleted OR VALUES(deleted),"
        " price = IF(VALUES(version) > version, VALUES(price), price),"
        " version = GREATEST(version, VALUES(version))",
        [astuple(price) for price in sorted(told)],
    )


async def known(db: Reader, item_ids: Collection[int]) -> dict[int, Price]:
    """What is known of those items that were ever heard of."""
    [prices] = await db.ask(KNOWN.among(item_ids))
    return {price.item_id: price for price in prices}
