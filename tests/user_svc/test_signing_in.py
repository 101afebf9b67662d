"""Signing in and out, tokens and their keys, on a real database."""

import asyncio
from datetime import timedelta
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import NotFound, TooMany, Unauthorized, Unavailable
from shared.ids import new_id
from shared.sealing import Sealer
from shared.settings import Current
from user_svc import calls, profiles, seeds, signing_keys
from user_svc.contracts import GetKeys, GetMe, KeyRotation, KeySet, Login, Logout, Refresh, RotateKeys, Tokens
from user_svc.settings import UserSettings

PASSWORD = seeds.BUYER_PASSWORD
EMAIL = "buyer1@sagamart.local"
SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1, sign_in_failures=3)


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)
    await db.transaction(seeds.seed)


async def _login(
    db: Database, email: str = EMAIL, password: str = PASSWORD, client: str = "10.0.0.1", **changes: Any
) -> Tokens:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return await calls.login(Login(email=email, password=password, client=client), db, settings)


async def _refresh(db: Database, token: str, request_id: Any = None, **changes: Any) -> Tokens:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    call = Refresh(request_id=request_id or new_id(), refresh_token=token)
    return await calls.refresh(call, db, settings)


async def _keys(db: Database) -> KeySet:
    return await db.read(lambda r: calls.get_keys(GetKeys(), r, SETTINGS))


async def _claims(db: Database, token: str) -> dict[str, Any]:
    """Check a token as the gateway does: with nothing but the published keys."""
    published = await _keys(db)
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(key for key in published.keys if key.kid == kid)
    public = jwt.PyJWK.from_dict(msgspec.to_builtins(key)).key
    return jwt.decode(
        token, public, algorithms=["EdDSA"], issuer=published.issuer, audience=published.audience
    )


async def test_a_token_says_who_one_is(db: Database) -> None:
    tokens = await _login(db, "BUYER1@sagamart.LOCAL")
    claims = await _claims(db, tokens.access_token)
    assert (claims["sub"], claims["role"], claims["iss"]) == ("2", "customer", "sagamart")
    assert claims["exp"] - claims["iat"] == tokens.expires_in == 900
    admin = await _login(db, "admin@sagamart.local", seeds.ADMIN_PASSWORD)
    assert (await _claims(db, admin.access_token))["role"] == "admin"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong password"),
        (EMAIL, ""),
        (EMAIL, PASSWORD.upper()),
        (EMAIL, PASSWORD * 100),
        ("nobody@sagamart.local", PASSWORD),
        ("not an address", PASSWORD),
        ("", PASSWORD),
        ("búyer1@sagamart.local", PASSWORD),
        ("buyer1@sagamart.local ", PASSWORD),
        ("x" * 100_000, "\x00"),
    ],
)
async def test_whatever_is_wrong_is_told_alike(db: Database, email: str, password: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await _login(db, email, password)
    assert refused.value.detail == "The address or the password is wrong."


async def test_nobody_signs_in_before_the_account_is_open(db: Database) -> None:
    await db.transaction(
        lambda tx: tx.execute("UPDATE users SET state = 'OPENING', due_at = created_at WHERE id = 2")
    )
    with pytest.raises(Unauthorized):
        await _login(db)
    with pytest.raises(NotFound):
        await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))


async def test_failures_make_this_client_wait_for_this_account(db: Database) -> None:
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await _login(db, password="guess me")
    with pytest.raises(TooMany) as refused:
        await _login(db)
    assert refused.value.retry_after is not None
    assert 290 < refused.value.retry_after <= 300
    await _login(db, client="10.0.0.2")
    await _login(db, "buyer2@sagamart.local")
    await _login(db, sign_in_pause_s=0.001)
    await _login(db)


async def test_of_many_guesses_at_once_only_the_first_few_count(db: Database) -> None:
    guesses = [*(f"guess {number}" for number in range(20)), PASSWORD]
    results = await asyncio.gather(*(_login(db, password=one) for one in guesses), return_exceptions=True)
    told = [result for result in results if not isinstance(result, TooMany)]
    assert all(isinstance(result, Unauthorized) for result in told)
    assert len(told) == SETTINGS.sign_in_failures
    with pytest.raises(TooMany):
        await _login(db)


async def test_signing_in_many_times_at_once_is_no_failure(db: Database) -> None:
    results = await asyncio.gather(*(_login(db) for _ in range(20)))
    assert len({tokens.refresh_token for tokens in results}) == 20


async def test_a_success_forgets_the_failures(db: Database) -> None:
    for _ in range(3):
        for _ in range(2):
            with pytest.raises(Unauthorized):
                await _login(db, password="guess me")
        await _login(db)


async def test_a_hash_of_weaker_parameters_is_made_anew(db: Database) -> None:
    await _login(db, argon2_memory_kib=128)
    row = await db.read(lambda r: r.row("SELECT password_hash FROM users WHERE id = 2"))
    assert row is not None
    assert "m=128,t=1" in row[0]
    await _login(db, argon2_memory_kib=128)


async def test_refresh_tokens_rotate(db: Database) -> None:
    first = await _login(db)
    second = await _refresh(db, first.refresh_token)
    third = await _refresh(db, second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert (await _claims(db, third.access_token))["sub"] == "2"


async def test_a_token_used_again_ends_its_sign_in_alone(db: Database) -> None:
    first, other = await _login(db), await _login(db)
    second = await _refresh(db, first.refresh_token)
    third = await _refresh(db, second.refresh_token)
    with pytest.raises(Unauthorized):
        await _refresh(db, first.refresh_token)
    with pytest.raises(Unauthorized):
        await _refresh(db, third.refresh_token)
    await _refresh(db, other.refresh_token)


async def _ago(db: Database, seconds: float) -> None:
    """All refresh tokens that were used are used so much longer ago."""
    await db.transaction(
        lambda tx: tx.execute(
            "UPDATE sessions SET rotated_at = rotated_at - INTERVAL %s MICROSECOND", (int(seconds * 1e6),)
        )
    )


@pytest.mark.parametrize(
    ("after_s", "grace_s", "same"),
    [(0.0, 10.0, True), (9.0, 10.0, True), (11.0, 10.0, False), (1.0, 0.0, False)],
)
async def test_a_used_token_gets_the_same_successor_for_some_seconds(
    db: Database, after_s: float, grace_s: float, same: bool
) -> None:
    tokens = await _login(db)
    renewed = await _refresh(db, tokens.refresh_token)  # the answer is lost
    await _ago(db, after_s)
    if same:
        again = await _refresh(db, tokens.refresh_token, refresh_grace_s=grace_s)
        assert again.refresh_token == renewed.refresh_token
        await _refresh(db, renewed.refresh_token)
    else:
        with pytest.raises(Unauthorized):
            await _refresh(db, tokens.refresh_token, refresh_grace_s=grace_s)
        with pytest.raises(Unauthorized):
            await _refresh(db, renewed.refresh_token)


async def test_windows_that_ask_at_once_get_the_same(db: Database) -> None:
    tokens = await _login(db)
    for _ in range(3):
        results = await asyncio.gather(*(_refresh(db, tokens.refresh_token) for _ in range(4)))
        assert len({result.refresh_token for result in results}) == 1
        tokens = results[0]


async def test_within_the_grace_only_the_latest_used_token_counts(db: Database) -> None:
    first = await _login(db)
    second = await _refresh(db, first.refresh_token)
    third = await _refresh(db, second.refresh_token)
    assert (await _refresh(db, second.refresh_token)).refresh_token == third.refresh_token
    with pytest.raises(Unauthorized):
        await _refresh(db, first.refresh_token)


async def test_the_same_request_gets_the_same_answer_at_any_time(db: Database) -> None:
    tokens, request_id = await _login(db), new_id()
    renewed = await _refresh(db, tokens.refresh_token, request_id)
    await _ago(db, 60)
    assert (await _refresh(db, tokens.refresh_token, request_id)).refresh_token == renewed.refresh_token


async def test_a_sign_in_that_is_not_renewed_expires(db: Database) -> None:
    tokens = await _login(db, refresh_token_s=0)
    with pytest.raises(Unauthorized):
        await _refresh(db, tokens.refresh_token)
    await db.transaction(lambda tx: calls.purge_expired(tx, SETTINGS))
    assert await db.read(lambda r: r.rows("SELECT 1 FROM sessions")) == []


@pytest.mark.parametrize("token", ["", "x", "\x00.\x00", "00000000-0000-4000-8000-000000000000.x"])
async def test_what_is_no_token_is_refused(db: Database, token: str) -> None:
    with pytest.raises(Unauthorized):
        await _refresh(db, token)
    await db.transaction(lambda tx: calls.logout(Logout(refresh_token=token), tx))


async def test_signing_out_ends_the_sign_in(db: Database) -> None:
    tokens, other = await _login(db), await _login(db)
    for _ in range(2):
        await db.transaction(lambda tx: calls.logout(Logout(refresh_token=tokens.refresh_token), tx))
    with pytest.raises(Unauthorized):
        await _refresh(db, tokens.refresh_token)
    await _refresh(db, other.refresh_token)


async def test_no_token_or_password_is_in_the_database(db: Database) -> None:
    tokens = await _login(db)
    secret = tokens.refresh_token.partition(".")[2]
    for table in ("users", "sessions"):
        stored = str(await db.read(lambda r, table=table: r.rows(f"SELECT * FROM {table}")))
        assert secret not in stored
        assert PASSWORD not in stored


async def test_replicas_agree_on_the_first_key(db: Database) -> None:
    await db.transaction(lambda tx: tx.execute("DELETE FROM signing_keys"))
    sealer = SETTINGS.sealer
    made = await asyncio.gather(
        *(db.transaction(lambda tx: signing_keys.signing_key(tx, sealer)) for _ in range(8))
    )
    assert len(set(made)) == 1
    assert [key.kid for key in (await _keys(db)).keys] == [made[0].kid]


async def _rotate(db: Database, request_id: Any = None, **changes: Any) -> KeyRotation:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    call = RotateKeys(request_id=request_id or new_id())
    return await db.transaction(lambda tx: calls.rotate_keys(call, tx, settings))


def _kid(tokens: Tokens) -> str:
    return jwt.get_unverified_header(tokens.access_token)["kid"]


async def test_a_new_key_signs_nobody_out(db: Database) -> None:
    before = await _login(db)
    pending = await _rotate(db, key_lead_s=3600.0)
    early = await _login(db)
    assert _kid(early) == _kid(before)
    assert str(pending.kid) in {key.kid for key in (await _keys(db)).keys}, "checkers know it before it signs"
    now = await _rotate(db, key_lead_s=0.001)
    await asyncio.sleep(0.01)
    after = await _login(db)
    assert _kid(after) == str(now.kid)
    for tokens in (before, early, after):
        assert (await _claims(db, tokens.access_token))["sub"] == "2"


async def test_an_old_key_ends_when_its_last_token_has(db: Database) -> None:
    before = await _login(db)
    rotation = await _rotate(db, key_lead_s=0.001)
    last = rotation.signs_from + timedelta(seconds=SETTINGS.access_token_s)
    assert last < rotation.others_end_at <= last + timedelta(minutes=2)
    late = rotation.others_end_at + timedelta(days=2)

    async def later(tx: Transaction) -> list[str]:
        tx.now = late
        await calls.purge_expired(tx, SETTINGS)
        return [key.kid for key in await signing_keys.public_keys(tx)]

    assert await db.transaction(later) == [str(rotation.kid)]
    kept = await db.read(lambda r: r.rows("SELECT kid FROM signing_keys WHERE kid = %s", (_kid(before),)))
    assert kept == []


async def test_a_rotation_happens_once_and_rotations_at_once_follow_each_other(db: Database) -> None:
    request_id = new_id()
    first, *others = await asyncio.gather(*(_rotate(db, request_id) for _ in range(4)))
    assert {one.kid for one in others} == {first.kid}
    await asyncio.gather(*(_rotate(db, key_lead_s=0.001) for _ in range(4)))
    lasting = await db.read(lambda r: r.rows("SELECT kid FROM signing_keys WHERE ends_at IS NULL"))
    assert len(lasting) == 1
    await asyncio.sleep(0.01)
    assert _kid(await _login(db)) == lasting[0][0]


async def test_a_token_signed_with_another_key_is_found_out(db: Database) -> None:
    token = (await _login(db)).access_token
    claims = {**await _claims(db, token), "role": "admin"}
    kid = jwt.get_unverified_header(token)["kid"]
    forged = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": kid})
    with pytest.raises(jwt.InvalidSignatureError):
        await _claims(db, forged)


async def test_private_keys_are_sealed_and_sealed_anew_with_a_newer_secret(db: Database) -> None:
    async def kept() -> str:
        [(text,)] = await db.read(lambda r: r.rows("SELECT private_key FROM signing_keys"))
        return text

    first = await kept()
    assert "PRIVATE" not in first
    before = await _login(db)
    clear = SETTINGS.sealer.open(first)
    await db.transaction(lambda tx: tx.execute("UPDATE signing_keys SET private_key = %s", (clear,)))
    assert _kid(await _login(db)) == _kid(before)  # as a version kept it that sealed nothing
    await db.transaction(lambda tx: calls.seal_keys_anew(tx, SETTINGS))
    second = await kept()
    assert second not in (first, clear)
    await db.transaction(lambda tx: calls.seal_keys_anew(tx, SETTINGS))
    assert await kept() == second
    both = Sealer(lambda: f"{'n' * 40} {Current('SHOP_SECRET_KEY', '')()}")
    await db.transaction(lambda tx: signing_keys.seal_anew(tx, both))
    assert both.open(await kept()) == clear
    with pytest.raises(Unavailable):
        await _login(db)  # by one whose file does not say the new secret yet
