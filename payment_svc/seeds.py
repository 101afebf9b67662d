"""The point accounts of the seeded people of a local run."""

from payment_svc.store import accounts
from shared.database import Transaction

POINTS = {1: 0, 2: 1_000_000, 3: 1_000_000}


async def seed(tx: Transaction) -> None:
    """Open those accounts that are not there, with what they begin with in their ledger."""
    for user_id, points in POINTS.items():
        if await accounts.account(tx, user_id) is None:
            await accounts.open_account(tx, user_id, points=points)
