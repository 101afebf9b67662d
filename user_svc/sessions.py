"""The rows of sign-ins and of failed tries at them."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.database import Reader, Transaction
from user_svc.domain import Failures, Session
from user_svc.models import SignInFailures, SignInSession
from user_svc.tokens import RefreshToken

PURGED_AT_ONCE = 1000


async def open_session(tx: Transaction, token: RefreshToken, user_id: int, expires_at: datetime) -> None:
    """Keep a new sign-in, with its first refresh token."""
    await SignInSession.create(
        id=token.session_id,
        user_id=user_id,
        secret_hash=token.secret_hash,
        created_at=tx.now,
        expires_at=expires_at,
        using_db=tx.models,
    )


async def lock_session(tx: Transaction, session_id: UUID) -> Session | None:
    """A sign-in, held against others who present a token of it at the same time."""
    row = await SignInSession.filter(id=session_id).using_db(tx.models).select_for_update().get_or_none()
    return msgspec.convert(row, Session, from_attributes=True) if row is not None else None


async def renew_session(
    tx: Transaction, token: RefreshToken, used: RefreshToken, request_id: UUID, expires_at: datetime
) -> None:
    """From now on `token` stands for the sign-in; `used` has been used up by the request."""
    session = SignInSession.filter(id=token.session_id).using_db(tx.models)
    await session.update(
        secret_hash=token.secret_hash,
        previous_hash=used.secret_hash,
        rotated_by=request_id,
        expires_at=expires_at,
    )


async def end_session(tx: Transaction, session_id: UUID) -> None:
    """No token of this sign-in counts any more."""
    await SignInSession.filter(id=session_id).using_db(tx.models).delete()


async def end_sessions(tx: Transaction, user_id: int) -> None:
    """No token of any sign-in of this user counts any more."""
    await SignInSession.filter(user_id=user_id).using_db(tx.models).delete()


async def failures(db: Reader, key: str, *, lock: bool = False) -> Failures | None:
    """The failed tries counted under a throttle key; `lock` holds them, if there are any."""
    counted = SignInFailures.filter(id=key).using_db(db.models)
    row = await (counted.select_for_update() if lock else counted).get_or_none()
    return msgspec.convert(row, Failures, from_attributes=True) if row is not None else None


async def keep_failures(tx: Transaction, key: str, counted: Failures) -> None:
    """Write down the count of a key that is held."""
    held = SignInFailures.filter(id=key).using_db(tx.models)
    await held.update(count=counted.count, last_at=counted.last_at)


async def forget_failures(tx: Transaction, key: str) -> None:
    """A sign-in has succeeded: the next failure is the first again."""
    await SignInFailures.filter(id=key).using_db(tx.models).delete()


async def purge(tx: Transaction, failures_before: datetime) -> None:
    """Delete what has expired, some at a time."""
    expired = SignInSession.filter(expires_at__lt=tx.now).using_db(tx.models)
    await expired.order_by("expires_at").limit(PURGED_AT_ONCE).delete()
    past = SignInFailures.filter(last_at__lt=failures_before).using_db(tx.models)
    await past.order_by("last_at").limit(PURGED_AT_ONCE).delete()
