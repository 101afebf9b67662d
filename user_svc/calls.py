"""Answers to calls: signing in and out, tokens and their keys. Signing up is in `registration.py`."""

from datetime import timedelta

from shared.database import Database, Reader, Transaction
from shared.errors import Conflict, Unauthorized
from shared.ids import new_id
from shared.logs import log
from user_svc import accounts, domain, ending, mailings, sessions, signing_keys, store, tokens
from user_svc.contracts import GetKeys, KeyRotation, KeySet, Login, Logout, Refresh, RotateKeys, Tokens
from user_svc.domain import RefreshVerdict
from user_svc.models import User
from user_svc.passwords import hash_password, is_outdated, verify
from user_svc.settings import UserSettings
from user_svc.throttle import Throttle

CLOCKS_DIFFER_BY = timedelta(minutes=1)
MOST_LOOKS = 5
"""How often a sign-in looks again because the password's hash has changed, as twins make it anew."""


async def login(call: Login, db: Database, settings: UserSettings) -> Tokens:
    """Check the password and begin a session.

    A hash that has changed since it was checked lets nobody in: the password may be another by now. It may as
    well be the same one, hashed anew by a sign-in at the same time, so it is checked once more.
    """
    for _ in range(MOST_LOOKS):
        if signed_in := await _look_and_let_in(call, db, settings):
            return signed_in
    raise Conflict("The password was changed in the meantime.")


async def _look_and_let_in(call: Login, db: Database, settings: UserSettings) -> Tokens | None:
    """One try; None if the hash has changed. Whether this address has to wait is asked before and after."""
    throttle = Throttle(call.email, call.client, settings)

    async def look(reader: Reader) -> tuple[User | None, int]:
        user = await accounts.with_address(reader, call.email)
        return user, await throttle.look(reader, user.id if user else None)

    found, failed = await db.read(look)
    right = await verify(
        found.password_hash if found else None, call.password, settings, client=call.client, failed=failed
    )
    renewed_hash = (
        await hash_password(call.password, settings)
        if found and right and is_outdated(found.password_hash, settings)
        else None
    )

    async def let_in(tx: Transaction, checked: User) -> Tokens | None:
        user = await User.filter(id=checked.id).using_db(tx.models).select_for_update().get_or_none()
        if user is None or user.password_hash != checked.password_hash:
            return None
        await throttle.forget(tx, user.id)
        await store.remember_client(tx, user.id, throttle.client)
        if renewed_hash:
            user.password_hash = renewed_hash
            await user.save(using_db=tx.models, update_fields=["password_hash"])
        token = tokens.new_refresh_token(new_id())
        await sessions.open_session(tx, token, user.id, tx.now + _life(settings), call.client)
        return await _tokens(tx, settings, token, user)

    if found and right:
        return await db.transaction(lambda tx: let_in(tx, found))
    await db.transaction(lambda tx: throttle.count(tx, found.id if found else None))
    raise Unauthorized("The address or the password is wrong.")


async def refresh(call: Refresh, db: Database, settings: UserSettings) -> Tokens:
    """Exchange a refresh token for the next pair, or end the session of one that was used before."""
    presented = tokens.read_refresh_token(call.refresh_token)
    if presented is None:
        raise _not_valid()
    grace = timedelta(seconds=settings.refresh_grace_s)

    async def exchange(tx: Transaction) -> Tokens | None:
        session = await sessions.lock_session(tx, presented.session_id)
        verdict = domain.judge_refresh(session, presented.secret_hash, call.request_id, tx.now, grace)
        if session is None or verdict is RefreshVerdict.REFUSE:
            return None
        user = await User.get_or_none(id=session.user_id, state="ACTIVE", using_db=tx.models)
        if user is None or verdict is RefreshVerdict.END:
            await sessions.end_session(tx, session.user_id, session.id)
            return None
        if verdict is RefreshVerdict.REPEAT and session.successor_salt:
            token = tokens.successor(presented, session.successor_salt)
        else:
            token = await sessions.renew_session(tx, presented, call.request_id, tx.now + _life(settings))
        return await _tokens(tx, settings, token, user)

    renewed = await db.transaction(exchange)
    if renewed is None:  # raised out here, since the end of a session must be committed
        raise _not_valid()
    return renewed


async def logout(call: Logout, tx: Transaction) -> None:
    """End the session of a refresh token. A used-up one will do: whoever holds it may close the door."""
    presented = tokens.read_refresh_token(call.refresh_token)
    session = await sessions.lock_session(tx, presented.session_id) if presented else None
    if session is not None:
        await sessions.end_session(tx, session.user_id, session.id)


async def get_keys(call: GetKeys, db: Reader, settings: UserSettings) -> KeySet:
    """The public keys of all access tokens that may be valid, and what has ended early."""
    ended, more = ([], False) if call.ended_after is None else await ending.ended_after(db, call.ended_after)
    return KeySet(
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        keys=await signing_keys.public_keys(db),
        ended=ended,
        more=more,
    )


async def rotate_keys(call: RotateKeys, tx: Transaction, settings: UserSettings) -> KeyRotation:
    """Let a new key sign from shortly on."""
    return await signing_keys.rotate(
        tx,
        call.request_id,
        settings.sealer,
        lead=timedelta(seconds=settings.key_lead_s),
        life=_access_life(settings),
    )


async def purge_all_expired(db: Database, settings: UserSettings) -> None:
    """A job: delete what does not matter any more, however much strangers have made of it."""
    while await db.transaction(lambda tx: purge_expired(tx, settings)):
        pass


async def purge_expired(tx: Transaction, settings: UserSettings) -> bool:
    """Delete sessions, failures and keys that do not matter any more; returns whether there may be more."""
    more = await sessions.purge(
        tx,
        failures_before=tx.now - timedelta(seconds=settings.sign_in_pause_s),
        known_before=tx.now - timedelta(days=settings.sign_in_known_days),
    )
    await signing_keys.purge(tx, tx.now - timedelta(days=1))
    await ending.purge(tx, _access_life(settings))
    await mailings.purge(tx)
    return more


async def seal_keys_anew(tx: Transaction, settings: UserSettings) -> None:
    """A job: once `SHOP_SECRET_KEY` begins with a new secret, nothing is kept under older ones for long."""
    if sealed := await signing_keys.seal_anew(tx, settings.sealer):
        log.info("keys.sealed_anew", keys=sealed)


async def _tokens(tx: Transaction, settings: UserSettings, token: tokens.RefreshToken, user: User) -> Tokens:
    access = tokens.access_token(
        await signing_keys.signing_key(tx, settings.sealer),
        settings.sealer,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        user=user,
        session_id=token.session_id,
        now=tx.now,
        life=timedelta(seconds=settings.access_token_s),
    )
    return Tokens(access_token=access, expires_in=settings.access_token_s, refresh_token=token.text)


def _life(settings: UserSettings) -> timedelta:
    return timedelta(seconds=settings.refresh_token_s)


def _access_life(settings: UserSettings) -> timedelta:
    """How long an access token counts anywhere, with what clocks may differ by."""
    return timedelta(seconds=settings.access_token_s) + CLOCKS_DIFFER_BY


def _not_valid() -> Unauthorized:
    return Unauthorized("The refresh token is not valid; sign in again.")
