"""The coupons of a new shop: two policies, and one of each in the hands of both buyers."""

from datetime import UTC, datetime

from shared.database.transaction import Transaction

VALID_FROM = datetime(2020, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)

POLICIES = (
    (1, "3,000 won off", "fixed", 3_000),
    (2, "15 % off", "percentage", 15),
)
"""Id, name, kind and value."""

HELD = ((1, 2, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2))
"""Id, user and policy."""


async def seed(tx: Transaction) -> None:
    """Put in what is missing; coupons that are there stay as orders left them."""
    known = {row[0] for row in await tx.rows("SELECT id FROM coupon_policies WHERE id IN (1, 2)")}
    await tx.write_many(
        "INSERT INTO coupon_policies"
        " (id, name, kind, value, valid_from, valid_until, floor_price, issued, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s)",
        [(*row, VALID_FROM, VALID_UNTIL, tx.now) for row in POLICIES if row[0] not in known],
    )
    held = {row[0] for row in await tx.rows("SELECT id FROM user_coupons WHERE id IN (1, 2, 3, 4)")}
    missing = [row for row in HELD if row[0] not in held]
    await tx.write_many(
        "INSERT INTO user_coupons (id, user_id, policy_id, issued_at) VALUES (%s, %s, %s, %s)",
        [(*row, tx.now) for row in missing],
    )
    for _, _, policy_id in missing:
        await tx.write("UPDATE coupon_policies SET issued = issued + 1 WHERE id = %s", [policy_id])
