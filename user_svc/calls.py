"""Answers to calls: signing in and out, tokens, profiles. Signing up is in `registration.py`."""

import uuid
from datetime import timedelta

import msgspec

from shared.database import Database, Reader, Transaction
from shared.errors import NotFound, TooMany, Unauthorized
from user_svc import accounts, domain, keys, sessions, tokens
from user_svc.accounts import Credentials
from user_svc.contracts import GetKeys, GetMe, KeySet, Login, Logout, Profile, Refresh, Tokens
from user_svc.domain import RefreshVerdict
from user_svc.models import User
from user_svc.passwords import hash_password, is_outdated, verify
from user_svc.settings import UserSettings


async def login(call: Login, db: Database, settings: UserSettings) -> Tokens:
    """Check the password and begin a session.

    Whether this address has to wait is asked again after the check: of many guesses made at once, those that
    end after the limit was reached learn nothing, not even the right one.
    """
    throttle = _Throttle(call, settings)

    async def look(reader: Reader) -> Credentials | None:
        throttle.check(await sessions.failures(reader, throttle.key), reader)
        return await accounts.credentials(reader, call.email)

    found = await db.read(look)
    right = await verify(found.password_hash if found else None, call.password, settings)
    renewed_hash = (
        await hash_password(call.password, settings)
        if found and right and is_outdated(found.password_hash, settings)
        else None
    )

    async def let_in(tx: Transaction, user: Credentials) -> Tokens:
        failed = await sessions.failures(tx, throttle.key, lock=True)
        throttle.check(failed, tx)
        if failed:
            await sessions.forget_failures(tx, throttle.key)
        if renewed_hash:
            await tx.execute(
                "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s",
                (renewed_hash, user.user_id, user.password_hash),
            )
        token = tokens.new_refresh_token(uuid.uuid4())
        await sessions.open_session(tx, token, user.user_id, tx.now + _life(settings))
        return await _tokens(tx, settings, token, user.user_id, user.role)

    async def count(tx: Transaction) -> None:
        failed = await sessions.lock_failures(tx, throttle.key)
        throttle.check(failed, tx)
        await sessions.keep_failures(
            tx, throttle.key, domain.one_more_failure(failed, tx.now, throttle.pause)
        )

    if found and right:
        return await db.transaction(lambda tx: let_in(tx, found))
    await db.transaction(count)
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
        user = await tx.row("SELECT role FROM users WHERE id = %s AND state = 'ACTIVE'", (session.user_id,))
        if user is None or verdict is RefreshVerdict.END:
            await sessions.end_session(tx, session.id)
            return None
        token = tokens.new_refresh_token(session.id)
        await sessions.renew_session(tx, token, presented, call.request_id, tx.now + _life(settings))
        return await _tokens(tx, settings, token, session.user_id, user[0])

    renewed = await db.transaction(exchange)
    if renewed is None:  # raised out here, since the end of a session must be committed
        raise _not_valid()
    return renewed


async def logout(call: Logout, tx: Transaction) -> None:
    """End the session of a refresh token. A used-up one will do: whoever holds it may close the door."""
    presented = tokens.read_refresh_token(call.refresh_token)
    if presented is not None:
        await sessions.end_session(tx, presented.session_id)


async def get_me(call: GetMe, db: Reader) -> Profile:
    """A user's own profile."""
    user = await User.get_or_none(id=call.user_id, state="ACTIVE")
    if user is None:
        raise NotFound("There is no such user.")
    return msgspec.convert(user, Profile, from_attributes=True)


async def get_keys(call: GetKeys, db: Reader, settings: UserSettings) -> KeySet:
    """The public keys of all access tokens that may be valid."""
    return KeySet(issuer=settings.token_issuer, keys=await keys.public_keys(db))


async def purge_expired(tx: Transaction, settings: UserSettings) -> None:
    """A job: delete sessions and failures that do not matter any more."""
    await sessions.purge(tx, tx.now - timedelta(seconds=settings.sign_in_pause_s))


class _Throttle:
    """Whether tries to sign in to this account from this address are heard."""

    def __init__(self, call: Login, settings: UserSettings) -> None:
        self.key = domain.throttle_key(call.email, call.client)
        self.pause = timedelta(seconds=settings.sign_in_pause_s)
        self._limit = settings.sign_in_failures

    def check(self, failed: domain.Failures | None, unit: Reader) -> None:
        """Raises `TooMany` while they are not."""
        if seconds := domain.seconds_to_wait(failed, unit.now, self._limit, self.pause):
            raise TooMany("Signing in has failed too often; wait a little.", retry_after=seconds)


async def _tokens(
    tx: Transaction, settings: UserSettings, token: tokens.RefreshToken, user_id: int, role: str
) -> Tokens:
    access = tokens.access_token(
        await keys.signing_key(tx),
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
