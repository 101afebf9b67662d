"""The Ed25519 keys that access tokens are signed with: in the database, so that all replicas use the same."""

import base64
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.database import Reader, Transaction
from shared.ids import new_id
from user_svc.contracts import KeyRotation, PublicKey


class SigningKey(NamedTuple):
    """The private half, and the id by which a token names it."""

    kid: str
    private_key: str


async def signing_key(tx: Transaction) -> SigningKey:
    """The key to sign with now; the first one is made when it is first needed.

    Replicas that make it at the same time collide on its generation: the slower one's unit of work runs
    again and finds the other's.
    """
    rows = await tx.rows(
        "SELECT generation, kid, private_key, signs_from <= %s AND (ends_at IS NULL OR ends_at > %s)"
        " FROM signing_keys ORDER BY generation DESC",
        (tx.now, tx.now),
    )
    for _, kid, private_key, signs in rows:
        if signs:
            return SigningKey(kid, private_key)
    # The generation follows from the very look that found no key: another look might see a twin's.
    return await add_key(tx, new_id(), generation=rows[0][0] + 1 if rows else 1, signs_from=tx.now)


async def add_key(tx: Transaction, kid: UUID, *, generation: int, signs_from: datetime) -> SigningKey:
    """Make the key of a generation. It is published at once: checkers know it before it begins to sign.

    Raises `DuplicateKey` where that generation is there already.
    """
    pair = Ed25519PrivateKey.generate()
    pem = pair.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    raw = pair.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    await tx.execute(
        "INSERT INTO signing_keys (kid, generation, private_key, public_key, signs_from)"
        " VALUES (%s, %s, %s, %s, %s)",
        (kid, generation, pem, x, signs_from),
    )
    return SigningKey(str(kid), pem)


async def rotate(tx: Transaction, kid: UUID, *, lead: timedelta, life: timedelta) -> KeyRotation:
    """Make the key that signs after `lead`, and let all others end when the last token of theirs has.

    `life` is how long a token counts, with what clocks may differ by. Once more with the same `kid` changes
    nothing; of two rotations at once the slower one runs again and follows the other.
    """
    done = await tx.row("SELECT signs_from FROM signing_keys WHERE kid = %s", (kid,))
    if done is not None:
        return KeyRotation(kid=kid, signs_from=done[0], others_end_at=done[0] + life)
    newest = await tx.row("SELECT MAX(generation) FROM signing_keys")
    signs_from = tx.now + lead
    await add_key(tx, kid, generation=(newest[0] or 0) + 1 if newest else 1, signs_from=signs_from)
    await tx.write(
        "UPDATE signing_keys SET ends_at = %s WHERE ends_at IS NULL AND kid <> %s", (signs_from + life, kid)
    )
    return KeyRotation(kid=kid, signs_from=signs_from, others_end_at=signs_from + life)


async def purge(tx: Transaction, ended_before: datetime) -> None:
    """Delete keys that have ended, private halves and all."""
    await tx.write("DELETE FROM signing_keys WHERE ends_at < %s", (ended_before,))


async def public_keys(db: Reader) -> list[PublicKey]:
    """Every key that a token may be signed with: those that have not ended, future ones included."""
    rows = await db.rows(
        "SELECT kid, public_key FROM signing_keys WHERE ends_at IS NULL OR ends_at > %s ORDER BY generation",
        (db.now,),
    )
    return [PublicKey(kid=kid, x=x) for kid, x in rows]
