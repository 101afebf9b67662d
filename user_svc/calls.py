"""Answers to calls: signing in and out, tokens and their keys. Signing up is in `registration.py`."""

import uuid
from datetime import timedelta

from shared.database import Database, Reader, Transaction
from shared.errors import Unauthorized
from user_svc import accounts, domain, sessions, signing_keys, tokens
from user_svc.contracts import GetKeys, KeyRotation, KeySet, Login, Logout, Refresh, RotateKeys, Tokens
from user_svc.domain import RefreshVerdict
from user_svc.models import User
from user_svc.passwords import hash_password, is_outdated, verify
from user_svc.settings import UserSettings
from user_svc.throttle import Throttle

CLOCKS_DIFFER_BY = timedelta(minutes=1)


async def login(call: Login, db: Database, settings: UserSettings) -> Tokens:
    """Check the password and begin a session. Whether this address has to wait is asked before and after."""
    throttle = Throttle(call.email, call.client, settings)

    async def look(reader: Reader) -> tuple[User | None, int]:
        failed = await sessions.failures(reader, throttle.key)
        throttle.check(failed, reader)
        return await accounts.with_address(reader, call.email), failed.count if failed else 0

    found, failed = await db.read(look)
    right = await verify(
        found.password_hash if found else None, call.password, settings, client=call.client, failed=failed
    )
    renewed_hash = (
        await hash_password(call.password, settings)
        if found and right and is_outdated(found.password_hash, settings)
        else None
    )

    async def let_in(tx: Transaction, user: User) -> Tokens:
        await throttle.forget(tx)
        if renewed_hash:
            unchanged = User.filter(id=user.id, password_hash=user.password_hash).using_db(tx.models)
            await unchanged.update(password_hash=renewed_hash)
        token = tokens.new_refresh_token(uuid.uuid4())
        await sessions.open_session(tx, token, user.id, tx.now + _life(settings))
        return await _tokens(tx, settings, token, user.id, user.role)

    if found and right:
        return await db.transaction(lambda tx: let_in(tx, found))
    await db.transaction(throttle.count)
    raise Unauthorized("The address or the password is wrong.")


async def refresh(call: Refresh, db: Database, settings: UserSettings) -> Tokens:
    """Exchange a refresh token for the next pair, or end the session of one that was used before."""
    presented = tokens.read_refresh_token(call.refresh_token)
    if presented is None:
        raise _not_valid()

    async def exchange(tx: Transaction) -> Tokens | None:
        session = await sessions.lock_session(tx, presented.session_id)
        verdict = domain.judge_refresh(session, presented.secret_hash, call.request_id, tx.now)
        if session is None or verdict is RefreshVerdict.REFUSE:
            return None
        user = await User.get_or_none(id=session.user_id, state="ACTIVE", using_db=tx.models)
        if user is None or verdict is RefreshVerdict.END:
            await sessions.end_session(tx, session.id)
            return None
        token = tokens.new_refresh_token(session.id)
        await sessions.renew_session(tx, token, presented, call.request_id, tx.now + _life(settings))
        return await _tokens(tx, settings, token, user.id, user.role)

    renewed = await db.transaction(exchange)
    if renewed is None:  # raised out here, since the end of a session must be committed
        raise _not_valid()
    return renewed


async def logout(call: Logout, tx: Transaction) -> None:
    """End the session of a refresh token. A used-up one will do: whoever holds it may close the door."""
    presented = tokens.read_refresh_token(call.refresh_token)
    if presented is not None:
        await sessions.end_session(tx, presented.session_id)


async def get_keys(call: GetKeys, db: Reader, settings: UserSettings) -> KeySet:
    """The public keys of all access tokens that may be valid."""
    return KeySet(issuer=settings.token_issuer, keys=await signing_keys.public_keys(db))


async def rotate_keys(call: RotateKeys, tx: Transaction, settings: UserSettings) -> KeyRotation:
    """Let a new key sign from shortly on."""
    return await signing_keys.rotate(
        tx,
        call.request_id,
        lead=timedelta(seconds=settings.key_lead_s),
        life=timedelta(seconds=settings.access_token_s) + CLOCKS_DIFFER_BY,
    )


async def purge_expired(tx: Transaction, settings: UserSettings) -> None:
    """A job: delete sessions, failures and keys that do not matter any more."""
    await sessions.purge(tx, tx.now - timedelta(seconds=settings.sign_in_pause_s))
    await signing_keys.purge(tx, tx.now - timedelta(days=1))


async def _tokens(
    tx: Transaction, settings: UserSettings, token: tokens.RefreshToken, user_id: int, role: str
) -> Tokens:
    access = tokens.access_token(
        await signing_keys.signing_key(tx),
        issuer=settings.token_issuer,
        user_id=user_id,
        role=role,
        now=tx.now,
        life=timedelta(seconds=settings.access_token_s),
    )
    return Tokens(access_token=access, expires_in=settings.access_token_s, refresh_token=token.text)


def _life(settings: UserSettings) -> timedelta:
    return timedelta(seconds=settings.refresh_token_s)


def _not_valid() -> Unauthorized:
    return Unauthorized("The refresh token is not valid; sign in again.")
