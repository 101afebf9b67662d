"""Numbers of payments to be: given out to open the PG's widget with, and the key that it gave for them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from payment_svc.domain import Intent
from payment_svc.settings import PaymentSettings
from shared.database import Database, Select, Transaction, purge

KEPT_DAYS = 7

_LOCKING = Select(Intent, "FROM payment_intents WHERE payment_id IN %s ORDER BY payment_id FOR UPDATE")


def end(now: datetime, settings: PaymentSettings) -> datetime:
    """Until when a number is good that is given out now."""
    return now + timedelta(seconds=settings.intent_s)


async def lock(tx: Transaction, payment_ids: Iterable[UUID]) -> dict[UUID, Intent]:
    """Those of these numbers that were given out, held until the commit."""
    [found] = await tx.ask(_LOCKING.among(set(payment_ids)))
    return {intent.payment_id: intent for intent in found}


async def add(tx: Transaction, intent: Intent) -> None:
    """Give a number out."""
    await tx.write(
        "INSERT INTO payment_intents"
        " (payment_id, user_id, order_id, amount, card_key, created_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            intent.payment_id,
            intent.user_id,
            intent.order_id,
            intent.amount,
            intent.card_key,
            tx.now,
            intent.expires_at,
        ),
    )


async def bring_key(tx: Transaction, payment_id: UUID, card_key: str) -> None:
    """Keep the key that a number is to be paid with; the number is held already."""
    await tx.write(
        "UPDATE payment_intents SET card_key = %s WHERE payment_id = %s AND used_at IS NULL",
        (card_key, payment_id),
    )


async def use(tx: Transaction, payment_ids: Iterable[UUID]) -> None:
    """These numbers have become payments, which keep the keys from now on."""
    used = sorted(set(payment_ids))
    if used:
        await tx.write(
            "UPDATE payment_intents SET used_at = %s, card_key = NULL WHERE payment_id IN %s", (tx.now, used)
        )


async def forget(db: Database) -> None:
    """Delete the numbers that ended a week ago."""
    await purge(db, "payment_intents", "expires_at", KEPT_DAYS)
