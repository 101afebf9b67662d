"""Tokens that end before their time: what is written down and told, and sign-ins that race what ends them."""

import asyncio
from typing import Any
from uuid import UUID

import jwt
import msgspec
import pytest

from shared.database.units import Database
from shared.errors import NotFound, Unauthorized
from tests.support.databases import Heard
from user_svc import calls, ending, profiles, seeds, sessions
from user_svc.contracts import (
    ChangeMe,
    EndSignIn,
    GetKeys,
    KeySet,
    ListSignIns,
    Login,
    Logout,
    Refresh,
    Tokens,
    TokensEnded,
)
from user_svc.settings import UserSettings

PASSWORD = seeds.BUYER_PASSWORD
EMAIL = "buyer1@sagamart.local"
SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1)


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)


async def _login(db: Database, password: str = PASSWORD, **changes: Any) -> Tokens:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return await calls.login(Login(email=EMAIL, password=password, client="10.0.0.1"), db, settings)


async def _ended(db: Database, after: int = 0) -> KeySet:
    return await db.read(lambda r: calls.get_keys(GetKeys(ended_after=after), r, SETTINGS))


def _claims(tokens: Tokens) -> dict[str, Any]:
    return jwt.decode(tokens.access_token, options={"verify_signature": False})


def _counts(tokens: Tokens, keys: KeySet) -> bool:
    """Whether a gateway that knows this lets the token in."""
    claims = _claims(tokens)
    return not any(
        (one.user_id == int(claims["sub"]) and claims["gen"] < one.below)
        or str(one.session_id) == claims["sid"]
        for one in keys.ended
    )


async def test_a_token_names_its_sign_in_and_its_audience(db: Database) -> None:
    claims = _claims(await _login(db))
    assert (claims["aud"], claims["gen"]) == (SETTINGS.token_audience, 0)
    row = await db.read(lambda r: r.row("SELECT id, client FROM sessions"))
    assert row == (claims["sid"], "10.0.0.1")


async def test_ending_all_tokens_of_a_user_spares_those_made_afterwards(db: Database) -> None:
    before = await _login(db)
    await db.transaction(lambda tx: ending.end_tokens(tx, 2))
    again = await calls.refresh(
        Refresh(request_id=UUID(int=1), refresh_token=before.refresh_token), db, SETTINGS
    )
    keys = await _ended(db)
    assert not _counts(before, keys)
    assert _counts(again, keys), "the sign-in itself goes on"
    assert await _ended(db, keys.ended[-1].id) == msgspec.structs.replace(keys, ended=[])


async def test_a_sign_in_that_ends_takes_its_own_tokens_with_it(db: Database) -> None:
    ended, other = await _login(db), await _login(db)
    await db.transaction(lambda tx: calls.logout(Logout(refresh_token=ended.refresh_token), tx))
    keys = await _ended(db)
    assert (_counts(ended, keys), _counts(other, keys)) == (False, True)


async def test_whoever_only_asks_for_keys_is_not_told_who_signed_out(db: Database) -> None:
    await db.transaction(lambda tx: ending.end_tokens(tx, 2))
    assert (await db.read(lambda r: calls.get_keys(GetKeys(), r, SETTINGS))).ended == []


async def test_it_is_told_by_an_event(db: Database, heard: Heard) -> None:
    tokens = await _login(db)
    await db.transaction(lambda tx: calls.logout(Logout(refresh_token=tokens.refresh_token), tx))
    await db.transaction(lambda tx: ending.end_tokens(tx, 2))
    assert heard.of(TokensEnded) == [
        TokensEnded(user_id=2, session_id=UUID(_claims(tokens)["sid"]), below=0),
        TokensEnded(user_id=2, session_id=None, below=1),
    ]


async def test_what_has_expired_anyway_is_forgotten(db: Database) -> None:
    await db.transaction(lambda tx: ending.end_tokens(tx, 2))
    await db.transaction(lambda tx: calls.purge_expired(tx, SETTINGS))
    assert len((await _ended(db)).ended) == 1
    await db.transaction(
        lambda tx: tx.execute("UPDATE ended_tokens SET ended_at = ended_at - INTERVAL 17 MINUTE")
    )
    await db.transaction(lambda tx: calls.purge_expired(tx, SETTINGS))
    assert (await _ended(db)).ended == []


async def _change(db: Database, new: str, old: str = PASSWORD) -> None:
    await profiles.change_me(ChangeMe(user_id=2, password=new, current_password=old), db, SETTINGS)


async def test_a_new_password_ends_a_sign_in_that_races_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was checked, then it was changed, then the session would be opened."""
    right_verify = calls.verify
    changed = False

    async def verify(*given: Any, **more: Any) -> bool:
        nonlocal changed
        right = await right_verify(*given, **more)
        if not changed:
            changed = True
            await _change(db, "another password")
        return right

    monkeypatch.setattr(calls, "verify", verify)
    with pytest.raises(Unauthorized):
        await _login(db)
    assert await db.read(lambda r: r.rows("SELECT 1 FROM sessions")) == []


async def test_sign_ins_and_a_new_password_at_once_leave_no_session_of_the_old_one(db: Database) -> None:
    results = await asyncio.gather(
        *(_login(db) for _ in range(12)), _change(db, "another password"), return_exceptions=True
    )
    assert all(result is None or isinstance(result, Tokens | Unauthorized) for result in results)
    keys = await _ended(db)
    assert not any(_counts(one, keys) for one in results if isinstance(one, Tokens))
    assert await db.read(lambda r: r.rows("SELECT 1 FROM sessions")) == []


async def test_sign_ins_at_once_that_all_make_the_hash_anew_all_succeed(db: Database) -> None:
    results = await asyncio.gather(*(_login(db, argon2_memory_kib=128) for _ in range(6)))
    assert len({tokens.refresh_token for tokens in results}) == 6


async def test_a_hash_made_anew_does_not_keep_its_owner_from_changing_the_password(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    right_hash = profiles.hash_password
    signed_in = False

    async def hash_password(password: str, settings: UserSettings) -> str:
        nonlocal signed_in
        if not signed_in:
            signed_in = True
            await _login(db, argon2_memory_kib=128)
        return await right_hash(password, settings)

    monkeypatch.setattr(profiles, "hash_password", hash_password)
    await _change(db, "another password")
    await _login(db, "another password")


async def test_an_owner_sees_and_ends_sign_ins(db: Database) -> None:
    tokens = [await _login(db) for _ in range(3)]
    first = await db.read(lambda r: sessions.list_sign_ins(ListSignIns(user_id=2, limit=2), r))
    rest = await db.read(
        lambda r: sessions.list_sign_ins(ListSignIns(user_id=2, limit=2, after=first.next), r)
    )
    ids = [str(one.id) for one in (*first.items, *rest.items)]
    assert ids == [_claims(one)["sid"] for one in reversed(tokens)]
    assert (first.items[0].client, first.items[0].used_at, rest.next) == ("10.0.0.1", None, None)
    mine = EndSignIn(user_id=2, session_id=UUID(ids[0]))
    with pytest.raises(NotFound):
        await db.transaction(
            lambda tx: sessions.end_sign_in(EndSignIn(user_id=3, session_id=mine.session_id), tx)
        )
    await db.transaction(lambda tx: sessions.end_sign_in(mine, tx))
    with pytest.raises(NotFound):
        await db.transaction(lambda tx: sessions.end_sign_in(mine, tx))
    assert not _counts(tokens[-1], await _ended(db))
    with pytest.raises(Unauthorized):
        await calls.refresh(
            Refresh(request_id=UUID(int=1), refresh_token=tokens[-1].refresh_token), db, SETTINGS
        )
