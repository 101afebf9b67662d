"""What the greet service writes for many people at once, as SQL."""

from collections.abc import Collection

from shared.database import Transaction


async def count(tx: Transaction, names: Collection[str]) -> None:
    """Count a greeting for each of these people."""
    await tx.write_many(
        "INSERT INTO greeted (name, times, last_at) VALUES (%s, 1, %s)"
        " ON DUPLICATE KEY UPDATE times = times + 1, last_at = VALUES(last_at)",
        [(name, tx.now) for name in names],
    )
