"""The rows of sign-ins and of failed tries at them."""

from datetime import datetime
from uuid import UUID

from shared.database import Reader, Transaction
from user_svc.domain import Failures, Session
from user_svc.tokens import RefreshToken


async def open_session(tx: Transaction, token: RefreshToken, user_id: int, expires_at: datetime) -> None:
    """Keep a new sign-in, with its first refresh token."""
    await tx.write(
        "INSERT INTO sessions (id, user_id, secret_hash, created_at, expires_at) VALUES (%s, %s, %s, %s, %s)",
        (token.session_id, user_id, token.secret_hash, tx.now, expires_at),
    )


async def lock_session(tx: Transaction, session_id: UUID) -> Session | None:
    """A sign-in, held against others who present a token of it at the same time."""
    row = await tx.row(
        "SELECT user_id, secret_hash, previous_hash, rotated_by, expires_at FROM sessions"
        " WHERE id = %s FOR UPDATE",
        (session_id,),
    )
    if row is None:
        return None
    user_id, secret_hash, previous_hash, rotated_by, expires_at = row
    return Session(
        id=session_id,
        user_id=user_id,
        secret_hash=secret_hash,
        previous_hash=previous_hash,
        rotated_by=UUID(rotated_by) if rotated_by else None,
        expires_at=expires_at,
    )


async def renew_session(
    tx: Transaction, token: RefreshToken, used: RefreshToken, request_id: UUID, expires_at: datetime
) -> None:
    """From now on `token` stands for the sign-in; `used` has been used up by the request."""
    await tx.write(
        "UPDATE sessions SET secret_hash = %s, previous_hash = %s, rotated_by = %s, expires_at = %s"
        " WHERE id = %s",
        (token.secret_hash, used.secret_hash, request_id, expires_at, token.session_id),
    )


async def end_session(tx: Transaction, session_id: UUID) -> None:
    """No token of this sign-in counts any more."""
    await tx.write("DELETE FROM sessions WHERE id = %s", (session_id,))


async def end_sessions(tx: Transaction, user_id: int) -> None:
    """No token of any sign-in of this user counts any more."""
    await tx.write("DELETE FROM sessions WHERE user_id = %s", (user_id,))


async def failures(db: Reader, key: str, *, lock: bool = False) -> Failures | None:
    """The failed tries counted under a throttle key; `lock` holds them, if there are any."""
    row = await db.row(
        f"SELECT count, last_at FROM sign_in_failures WHERE id = %s{' FOR UPDATE' if lock else ''}",  # noqa: S608
        (key,),
    )
    return Failures(*row) if row else None


async def lock_failures(tx: Transaction, key: str) -> Failures:
    """The failed tries counted under a throttle key, held until the commit, also where there are none yet.

    A row that is not there cannot be held: of guesses made at once, several would each be the first. Here the
    insert makes it or holds it, exclusively from the start, so that two can never wait for each other.
    """
    await tx.write(
        "INSERT INTO sign_in_failures (id, count, last_at) VALUES (%s, 0, %s)"
        " ON DUPLICATE KEY UPDATE count = count",
        (key, tx.now),
    )
    return await failures(tx, key, lock=True) or Failures(0, tx.now)


async def keep_failures(tx: Transaction, key: str, counted: Failures) -> None:
    """Write down the count of a key that is held."""
    await tx.write(
        "UPDATE sign_in_failures SET count = %s, last_at = %s WHERE id = %s",
        (counted.count, counted.last_at, key),
    )


async def forget_failures(tx: Transaction, key: str) -> None:
    """A sign-in has succeeded: the next failure is the first again."""
    await tx.write("DELETE FROM sign_in_failures WHERE id = %s", (key,))


async def purge(tx: Transaction, failures_before: datetime) -> None:
    """Delete what has expired, some at a time."""
    await tx.write("DELETE FROM sessions WHERE expires_at < %s ORDER BY expires_at LIMIT 1000", (tx.now,))
    await tx.write(
        "DELETE FROM sign_in_failures WHERE last_at < %s ORDER BY last_at LIMIT 1000", (failures_before,)
    )
