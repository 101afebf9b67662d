"""The Ed25519 keys that access tokens are signed with: in the database, so that all replicas use the same.

Their private halves are sealed there, so that the database alone signs nothing.
"""

import base64
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tortoise.expressions import Q

from shared.database import Reader, Transaction
from shared.errors import Unavailable
from shared.ids import new_id
from shared.service import Sealer
from user_svc.contracts import KeyRotation, PublicKey
from user_svc.models import SigningKey


async def signing_key(tx: Transaction, sealer: Sealer) -> SigningKey:
    """The key to sign with now; the first one is made when it is first needed.

    Replicas that make it at the same time collide on its generation: the slower one's unit of work runs
    again and finds the other's.
    """
    keys = await SigningKey.all(using_db=tx.models).order_by("-generation")
    lasting = [key for key in keys if key.ends_at is None or key.ends_at > tx.now]
    for key in lasting:
        if key.signs_from <= tx.now:
            return key
    if lasting:  # a twin has just made it, in a unit of work that began a moment after ours
        return lasting[-1]
    # The generation follows from the very look that found no key: another look might see a twin's.
    generation = keys[0].generation + 1 if keys else 1
    return await add_key(tx, new_id(), sealer, generation=generation, signs_from=tx.now)


async def add_key(
    tx: Transaction, kid: UUID, sealer: Sealer, *, generation: int, signs_from: datetime
) -> SigningKey:
    """Make the key of a generation. It is published at once: checkers know it before it begins to sign.

    Raises `DuplicateKey` where that generation is there already.
    """
    pair = Ed25519PrivateKey.generate()
    pem = pair.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    raw = pair.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return await SigningKey.create(
        kid=kid,
        generation=generation,
        private_key=sealer.seal(pem),
        public_key=x,
        signs_from=signs_from,
        using_db=tx.models,
    )


async def rotate(
    tx: Transaction, kid: UUID, sealer: Sealer, *, lead: timedelta, life: timedelta
) -> KeyRotation:
    """Make the key that signs after `lead`, and let all others end when the last token of theirs has.

    `life` is how long a token counts, with what clocks may differ by. Once more with the same `kid` changes
    nothing; of two rotations at once the slower one runs again and follows the other.
    """
    done = await SigningKey.get_or_none(kid=kid, using_db=tx.models)
    if done is not None:
        return KeyRotation(kid=kid, signs_from=done.signs_from, others_end_at=done.signs_from + life)
    newest = await SigningKey.all(using_db=tx.models).order_by("-generation").first()
    signs_from = tx.now + lead
    await add_key(tx, kid, sealer, generation=newest.generation + 1 if newest else 1, signs_from=signs_from)
    others = SigningKey.filter(ends_at=None).exclude(kid=kid).using_db(tx.models)
    await others.update(ends_at=signs_from + life)
    return KeyRotation(kid=kid, signs_from=signs_from, others_end_at=signs_from + life)


async def seal_anew(tx: Transaction, sealer: Sealer) -> int:
    """Seal the private halves that were sealed with an older secret, or never; returns how many."""
    keys = await SigningKey.all(using_db=tx.models)
    outdated = [key for key in keys if sealer.is_outdated(key.private_key)]
    for key in outdated:
        try:
            opened = sealer.open(key.private_key)
        except Unavailable:  # its secret is lost; the others need not wait for that
            continue
        # Only as it was read: another replica may have been faster, with a secret newer than ours.
        unchanged = SigningKey.filter(kid=key.kid, private_key=key.private_key).using_db(tx.models)
        await unchanged.update(private_key=sealer.seal(opened))
    return len(outdated)


async def purge(tx: Transaction, ended_before: datetime) -> None:
    """Delete keys that have ended, private halves and all."""
    await SigningKey.filter(ends_at__lt=ended_before).using_db(tx.models).delete()


async def public_keys(db: Reader) -> list[PublicKey]:
    """Every key that a token may be signed with: those that have not ended, future ones included."""
    lasting = SigningKey.filter(Q(ends_at=None) | Q(ends_at__gt=db.now)).using_db(db.models)
    return [PublicKey(kid=key.kid, x=key.public_key) for key in await lasting.order_by("generation")]
