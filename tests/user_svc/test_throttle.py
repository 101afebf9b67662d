"""Failed sign-ins count three times: by account and client, by client alone and by account alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from shared.database import Database, Transaction
from shared.errors import TooMany, Unauthorized
from user_svc import calls, domain, seeds, sessions
from user_svc.contracts import Login, Tokens
from user_svc.domain import Failures
from user_svc.settings import UserSettings

EMAIL, PASSWORD = "buyer1@sagamart.local", seeds.BUYER_PASSWORD
SETTINGS = UserSettings(
    argon2_memory_kib=8,
    argon2_passes=1,
    sign_in_failures=3,
    sign_in_failures_of_client=7,
    sign_in_failures_of_account=7,
)


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "8")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)


async def login(
    db: Database, email: str = EMAIL, password: str = PASSWORD, client: str = "10.0.0.1", **changes: Any
) -> Tokens:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return await calls.login(Login(email=email, password=password, client=client), db, settings)


async def fail(db: Database, count: int, email: str, client: str) -> None:
    """So many wrong guesses; a number sign in either stands for the number of the guess."""
    for number in range(count):
        with pytest.raises(Unauthorized):
            await login(db, email.replace("#", str(number)), "wrong guess", client.replace("#", str(number)))


async def test_a_client_that_tries_all_accounts_has_to_wait(db: Database) -> None:
    await fail(db, 7, "somebody#@x.test", "10.0.0.1")
    for email in (EMAIL, "nobody@x.test"):
        with pytest.raises(TooMany) as refused:
            await login(db, email)
        assert refused.value.retry_after is not None
        assert 290 < refused.value.retry_after <= 300
    await login(db, client="10.0.0.2")
    await login(db, sign_in_pause_s=0.001)


async def test_an_own_sign_in_does_not_wipe_out_what_a_client_tried_elsewhere(db: Database) -> None:
    await fail(db, 6, "somebody#@x.test", "10.0.0.1")
    await login(db)
    await fail(db, 1, "another@x.test", "10.0.0.1")
    with pytest.raises(TooMany):
        await login(db)


async def test_of_ipv6_a_network_is_one_client(db: Database) -> None:
    await fail(db, 3, EMAIL, "2001:db8:1:2::#")
    with pytest.raises(TooMany):
        await login(db, client="2001:db8:1:2:ffff::1")
    await fail(db, 4, "somebody#@x.test", "2001:db8:1:2:#::1")
    with pytest.raises(TooMany):
        await login(db, "buyer2@sagamart.local", client="2001:db8:1:2::99")
    await login(db, client="2001:db8:1:3::1")


@pytest.mark.parametrize("email", [EMAIL, "nobody@x.test"])
async def test_an_account_that_is_tried_from_everywhere_hears_clients_that_it_knows(
    db: Database, email: str
) -> None:
    if email == EMAIL:
        await login(db, client="192.0.2.1")
    await fail(db, 7, email, "10.0.0.#")
    with pytest.raises(TooMany) as refused:
        await login(db, email, client="10.0.1.1")
    assert refused.value.retry_after is not None
    assert 290 < refused.value.retry_after <= 300
    if email == EMAIL:
        await login(db, client="192.0.2.1")
        await fail(db, 1, EMAIL, "192.0.2.1")  # a known client is heard, and counted as any other
        await fail(db, 2, EMAIL, "192.0.2.1")
        with pytest.raises(TooMany):
            await login(db, client="192.0.2.1")
    await login(db, "buyer2@sagamart.local", client="10.0.1.1")


async def test_a_client_is_known_for_thirty_days(db: Database) -> None:
    await login(db, client="192.0.2.1")
    await db.transaction(
        lambda tx: tx.execute("UPDATE known_clients SET last_at = last_at - INTERVAL 31 DAY")
    )
    await fail(db, 7, EMAIL, "10.0.0.#")
    with pytest.raises(TooMany):
        await login(db, client="192.0.2.1")
    await calls.purge_all_expired(db, SETTINGS)
    assert await db.read(lambda r: r.rows("SELECT 1 FROM known_clients")) == []


async def test_many_at_once_learn_nothing_beyond_the_limit(db: Database) -> None:
    guesses = [login(db, password="wrong guess", client=f"10.0.0.{number}") for number in range(20)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(one, Unauthorized) for one in results) == 7
    assert sum(isinstance(one, TooMany) for one in results) == 13


async def test_what_strangers_leave_behind_is_all_purged(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PURGED_AT_ONCE", 4)
    await fail(db, 6, "somebody#@x.test", "10.0.0.#")
    assert len(await db.read(lambda r: r.rows("SELECT 1 FROM sign_in_failures"))) == 18

    async def later(tx: Transaction) -> None:
        await tx.execute("UPDATE sign_in_failures SET last_at = last_at - INTERVAL 301 SECOND")

    await db.transaction(later)
    await calls.purge_all_expired(db, SETTINGS)
    assert await db.read(lambda r: r.rows("SELECT 1 FROM sign_in_failures")) == []


def test_what_many_share_is_counted_from_its_first_failure() -> None:
    now, pause = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=5)
    first = domain.one_more_within(None, now, pause)
    assert first == Failures(1, now)
    second = domain.one_more_within(first, now + timedelta(minutes=4), pause)
    assert second == Failures(2, now)
    assert domain.one_more_within(second, now + timedelta(minutes=5), pause) == Failures(1, now + pause)
    assert domain.one_more_within(Failures(0, now), now + timedelta(minutes=1), pause).count == 1


def test_no_key_can_be_made_to_stand_for_another_kind() -> None:
    keys = {
        domain.throttle_key("a@b.test", "10.0.0.1"),
        domain.client_key("10.0.0.1"),
        domain.account_key("a@b.test"),
        domain.account_key("A@B.test"),
        domain.account_key("a@b.test\n10.0.0.1"),
        domain.client_key("a@b.test\n10.0.0.1"),
        domain.known_client_key(1, "10.0.0.1"),
    }
    assert len(keys) == 6
    assert domain.account_key("\ud800")
