"""The rows of sign-ins and of failed tries at them."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.database import Reader, Transaction, page
from shared.errors import NotFound
from user_svc.contracts import EndSignIn, ListSignIns, SignIn, SignInPage
from user_svc.domain import Session
from user_svc.ending import end_tokens, end_tokens_of_session
from user_svc.models import KnownClient, SignInFailures, SignInSession
from user_svc.tokens import RefreshToken, new_salt, successor

PURGED_AT_ONCE = 1000
LONGEST_CLIENT = 64


async def open_session(
    tx: Transaction, token: RefreshToken, user_id: int, expires_at: datetime, client: str
) -> None:
    """Keep a new sign-in, with its first refresh token and the address it comes from."""
    await SignInSession.create(
        id=token.session_id,
        user_id=user_id,
        secret_hash=token.secret_hash,
        client=client[:LONGEST_CLIENT],
        created_at=tx.now,
        expires_at=expires_at,
        using_db=tx.models,
    )


async def lock_session(tx: Transaction, session_id: UUID) -> Session | None:
    """A sign-in, held against others who present a token of it at the same time."""
    row = await SignInSession.filter(id=session_id).using_db(tx.models).select_for_update().get_or_none()
    return msgspec.convert(row, Session, from_attributes=True) if row is not None else None


async def renew_session(
    tx: Transaction, used: RefreshToken, request_id: UUID, expires_at: datetime
) -> RefreshToken:
    """The token that stands for the sign-in from now on; `used` has been used up by the request."""
    salt = new_salt()
    token = successor(used, salt)
    session = SignInSession.filter(id=token.session_id).using_db(tx.models)
    await session.update(
        secret_hash=token.secret_hash,
        previous_hash=used.secret_hash,
        rotated_by=request_id,
        rotated_at=tx.now,
        successor_salt=salt,
        expires_at=expires_at,
        used_at=tx.now,
    )
    return token


async def end_session(tx: Transaction, user_id: int, session_id: UUID) -> bool:
    """No token of this sign-in of the user's counts any more. False where there is none."""
    ended = await SignInSession.filter(id=session_id, user_id=user_id).using_db(tx.models).delete()
    if ended:
        await end_tokens_of_session(tx, user_id, session_id)
    return bool(ended)


async def end_sessions(tx: Transaction, user_id: int) -> None:
    """No token of any sign-in of this user counts any more."""
    await SignInSession.filter(user_id=user_id).using_db(tx.models).delete()
    await end_tokens(tx, user_id)


async def list_sign_ins(call: ListSignIns, db: Reader) -> SignInPage:
    """A page of a user's sign-ins that last, newest first."""
    lasting = SignInSession.filter(user_id=call.user_id, expires_at__gt=db.now).using_db(db.models)
    if call.after is not None:
        lasting = lasting.filter(id__lt=str(call.after))
    rows, more = await page(call.limit, lasting.order_by("-id").limit, key=lambda row: row.id)
    items = [
        SignIn(
            id=UUID(row.id),
            begun_at=row.created_at,
            client=row.client,
            used_at=row.used_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]
    return SignInPage(items=items, next=UUID(more) if more else None)


async def end_sign_in(call: EndSignIn, tx: Transaction) -> None:
    """End one, as its owner asks."""
    if not await end_session(tx, call.user_id, call.session_id):
        raise NotFound("You have no such session.")


async def forget_failures(tx: Transaction, key: str) -> None:
    """A sign-in has succeeded: the next failure is the first again."""
    await SignInFailures.filter(id=key).using_db(tx.models).delete()


async def is_known_client(db: Reader, key: str, since: datetime) -> bool:
    """Whether a user has signed in from a client since then; `key` stands for both."""
    return await KnownClient.exists(id=key, last_at__gte=since, using_db=db.models)


async def purge(tx: Transaction, *, failures_before: datetime, known_before: datetime) -> bool:
    """Delete what has expired, some at a time; returns whether there may be more."""
    expired = SignInSession.filter(expires_at__lt=tx.now).using_db(tx.models).order_by("expires_at")
    past = SignInFailures.filter(last_at__lt=failures_before).using_db(tx.models).order_by("last_at")
    known = KnownClient.filter(last_at__lt=known_before).using_db(tx.models).order_by("last_at")
    gone = [await one.limit(PURGED_AT_ONCE).delete() for one in (expired, past, known)]
    return max(gone) == PURGED_AT_ONCE
