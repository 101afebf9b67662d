"""The people of a local run: an administrator and two buyers, and the first signing key."""

import asyncio
import functools

from shared.database import Transaction
from shared.service import load
from user_svc.models import User
from user_svc.passwords import hash_now
from user_svc.settings import UserSettings
from user_svc.signing_keys import signing_key

ADMIN_PASSWORD = "sagamart-admin"  # noqa: S105  of the seeded administrator, unless a setting says another
BUYER_PASSWORD = "sagamart-buyer"  # noqa: S105  of the seeded buyers of a local run


async def seed(tx: Transaction) -> None:
    """Users 1 to 3, if they are not there, and a key to sign with. Who is there keeps what was changed."""
    settings = load(UserSettings)
    people = (
        (1, "admin@sagamart.local", "Admin", "admin", settings.admin_password or ADMIN_PASSWORD),
        (2, "buyer1@sagamart.local", "Buyer One", "customer", BUYER_PASSWORD),
        (3, "buyer2@sagamart.local", "Buyer Two", "customer", BUYER_PASSWORD),
    )
    for user_id, email, name, role, password in people:
        if await User.exists(id=user_id, using_db=tx.models):
            continue
        await User.create(
            id=user_id,
            email=email,
            email_key=email,
            name=name,
            address="Seoul",
            password_hash=await asyncio.to_thread(functools.partial(hash_now, password, settings)),
            role=role,
            roles=role,
            state="ACTIVE",
            created_at=tx.now,
            using_db=tx.models,
        )
    await signing_key(tx, settings.sealer)
