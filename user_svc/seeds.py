"""The people of a local run: an administrator and two buyers, and the first signing key."""

import asyncio
import functools

from shared.database import Transaction
from shared.service import load
from user_svc.passwords import hash_now
from user_svc.settings import UserSettings
from user_svc.signing_keys import signing_key

BUYER_PASSWORD = "sagamart-buyer"  # noqa: S105  of the seeded buyers of a local run


async def seed(tx: Transaction) -> None:
    """Users 1 to 3, if they are not there, and a key to sign with. Who is there keeps what was changed."""
    settings = load(UserSettings)
    people = (
        (1, "admin@sagamart.local", "Admin", "admin", settings.admin_password),
        (2, "buyer1@sagamart.local", "Buyer One", "customer", BUYER_PASSWORD),
        (3, "buyer2@sagamart.local", "Buyer Two", "customer", BUYER_PASSWORD),
    )
    there = {row[0] for row in await tx.rows("SELECT id FROM users WHERE id IN (1, 2, 3)")}
    for user_id, email, name, role, password in people:
        if user_id in there:
            continue
        password_hash = await asyncio.to_thread(functools.partial(hash_now, password, settings))
        await tx.write(
            "INSERT INTO users (id, email, email_key, name, address, password_hash, role, state, created_at)"
            " VALUES (%s, %s, %s, %s, 'Seoul', %s, %s, 'ACTIVE', %s)",
            (user_id, email, email, name, password_hash, role, tx.now),
        )
    await signing_key(tx)
