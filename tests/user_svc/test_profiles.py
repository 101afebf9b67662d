"""Profiles: one's own, looked at and changed, and everybody's."""

import asyncio
from typing import Any

import msgspec
import pytest

from shared.database.units import Database
from shared.errors import NotFound, RuleBroken, TooMany, Unauthorized
from shared.ids import new_id
from user_svc import calls, profiles, seeds
from user_svc.contracts import ChangeMe, FindUsers, GetMe, ListUsers, Login, Profile, Refresh, Tokens
from user_svc.settings import UserSettings

EMAIL = "buyer1@sagamart.local"
OLD, NEW = seeds.BUYER_PASSWORD, "a new password"
SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1, sign_in_failures=3)


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)


async def _change(db: Database, user_id: int = 2, client: str = "10.0.0.1", **fields: Any) -> Profile:
    return await profiles.change_me(ChangeMe(user_id=user_id, client=client, **fields), db, SETTINGS)


async def _login(db: Database, password: str) -> Tokens:
    return await calls.login(Login(email=EMAIL, password=password), db, SETTINGS)


async def _refresh(db: Database, tokens: Tokens) -> Tokens:
    call = Refresh(request_id=new_id(), refresh_token=tokens.refresh_token)
    return await calls.refresh(call, db, SETTINGS)


async def test_a_profile_shows_no_more_than_it_should(db: Database) -> None:
    me = await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))
    assert me == Profile(
        id=2, email=EMAIL, name="Buyer One", address="Seoul", role="customer", roles=["customer"]
    )
    with pytest.raises(NotFound):
        await db.read(lambda r: profiles.get_me(GetMe(user_id=2**63 - 1), r))


async def test_what_is_given_changes_and_the_rest_stays(db: Database) -> None:
    changed = await _change(db, name="  Kim ")
    assert (changed.name, changed.address, changed.email) == ("Kim", "Seoul", EMAIL)
    assert (await _change(db, address="1 Saga Street\nBusan")).name == "Kim"
    assert await _change(db, name="Kim") == await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))
    await _login(db, OLD)


async def test_a_bad_field_changes_nothing(db: Database) -> None:
    with pytest.raises(RuleBroken) as refused:
        await _change(db, name="Kim", address=" ", password="short")
    assert [error.field for error in refused.value.errors] == ["address", "password", "current_password"]
    assert (await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))).name == "Buyer One"


async def test_who_is_not_there_or_not_yet_cannot_be_changed(db: Database) -> None:
    await db.execute("UPDATE users SET state = 'OPENING', due_at = created_at WHERE id = 3")
    for user_id in (3, 99):
        with pytest.raises(NotFound):
            await _change(db, user_id, name="Kim")
        with pytest.raises(NotFound):
            await _change(db, user_id, password=NEW, current_password=OLD)


async def test_a_new_password_ends_all_sign_ins_and_may_be_set_again(db: Database) -> None:
    before = await _login(db, OLD)
    await _change(db, password=NEW, current_password=OLD)
    with pytest.raises(Unauthorized):
        await _refresh(db, before)
    with pytest.raises(Unauthorized):
        await _login(db, OLD)
    after = await _login(db, NEW)
    await _change(db, password=NEW, current_password=OLD)  # the answer was lost, so it was sent again
    await _refresh(db, after)


async def test_a_wrong_current_password_changes_nothing_and_cannot_be_guessed_for_long(db: Database) -> None:
    for _ in range(3):
        with pytest.raises(RuleBroken) as refused:
            await _change(db, name="Thief", password=NEW, current_password="guess")
        assert [error.field for error in refused.value.errors] == ["current_password"]
    with pytest.raises(TooMany):
        await _change(db, password=NEW, current_password=OLD)
    assert (await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))).name == "Buyer One"
    await _login(db, OLD)
    await _change(db, client="10.0.0.2", password=NEW, current_password=OLD)


async def test_of_two_new_passwords_at_once_one_counts(db: Database) -> None:
    results = await asyncio.gather(
        *(_change(db, password=f"new password {n}", current_password=OLD) for n in range(4)),
        return_exceptions=True,
    )
    right = [number for number, result in enumerate(results) if isinstance(result, Profile)]
    assert len(right) == 1
    await _login(db, f"new password {right[0]}")


async def test_all_users_are_listed_page_by_page(db: Database) -> None:
    seen: list[int] = []
    after = None
    while True:
        call = ListUsers(limit=2, after=after)
        page = await db.read(lambda r, call=call: profiles.list_users(call, r))
        seen += [user.id for user in page.items]
        assert all("password" not in field for field in msgspec.to_builtins(page.items[0]))
        if page.next is None:
            break
        after = page.next
    assert seen == [1, 2, 3]


async def test_those_who_exist_are_found_and_nobody_else(db: Database) -> None:
    async def found(*ids: int) -> list[int]:
        return (await db.read(lambda r: profiles.find_users(FindUsers(ids=list(ids)), r))).ids

    assert await found(3, 1, 99, 3) == [1, 3]
    assert await found(99) == []
    await db.execute("UPDATE users SET state = 'OPENING', due_at = created_at WHERE id = 3")
    assert await found(3, 1) == [1]
