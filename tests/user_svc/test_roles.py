"""Roles: several of a user, in its tokens, and never without an admin."""

import asyncio

import jwt
import pytest

from shared.database.units import Database
from shared.errors import Conflict, NotFound, RuleBroken
from shared.ids import new_id
from user_svc import calls, ending, profiles, roles, seeds
from user_svc.contracts import Ended, GetMe, ListUsers, Login, Refresh, Role, SetRoles, Tokens, UserEntry
from user_svc.domain import kept_roles, roles_of
from user_svc.models import User
from user_svc.settings import UserSettings

SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1)
BUYER = "buyer1@sagamart.local"


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)


async def _set(db: Database, user_id: int, *given: Role, by: int = 1) -> UserEntry:
    call = SetRoles(user_id=user_id, roles=list(given), by=by)
    return await db.transaction(lambda tx: roles.set_roles(call, tx))


async def _sign_in(db: Database) -> Tokens:
    return await calls.login(Login(email=BUYER, password=seeds.BUYER_PASSWORD), db, SETTINGS)


async def _ended(db: Database) -> list[Ended]:
    return (await db.read(lambda reader: ending.ended_after(reader, 0)))[0]


def _in_token(tokens: Tokens) -> tuple[str, list[str]]:
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    return claims["role"], claims["roles"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(["finance", "customer"], "customer,finance"), (["admin"], "admin"), (["support"], "support")],
)
def test_roles_are_kept_in_one_order(given: list[Role], kept: str) -> None:
    assert kept_roles(given) == kept
    assert sorted(roles_of(kept)) == sorted(given)


async def test_new_roles_are_shown_and_stand_in_the_next_token(db: Database) -> None:
    before = await _sign_in(db)
    assert _in_token(before) == ("customer", ["customer"])
    entry = await _set(db, 2, "finance", "customer")
    assert (entry.role, entry.roles) == ("customer", ["customer", "finance"])
    assert (await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))).roles == ["customer", "finance"]
    listed = (await db.read(lambda r: profiles.list_users(ListUsers(), r))).items
    assert [(one.id, one.role, one.roles) for one in listed] == [
        (1, "admin", ["admin"]),
        (2, "customer", ["customer", "finance"]),
        (3, "customer", ["customer"]),
    ]
    assert _in_token(await _sign_in(db)) == ("customer", ["customer", "finance"])


async def test_tokens_that_name_other_roles_end_and_a_refresh_gives_one_with_the_new(db: Database) -> None:
    tokens = await _sign_in(db)
    await _set(db, 2, "customer")  # as it was
    assert await _ended(db) == []
    await _set(db, 2, "support")
    [ended] = await _ended(db)
    generation = jwt.decode(tokens.access_token, options={"verify_signature": False})["gen"]
    assert (ended.user_id, ended.session_id) == (2, None)
    assert generation < ended.below
    again = Refresh(request_id=new_id(), refresh_token=tokens.refresh_token)
    tokens = await calls.refresh(again, db, SETTINGS)
    assert _in_token(tokens) == ("customer", ["support"])


async def test_the_last_admin_stays_one(db: Database) -> None:
    with pytest.raises(Conflict):
        await _set(db, 1, "customer")
    with pytest.raises(Conflict):
        await _set(db, 1, "support", "finance")
    await _set(db, 1, "admin", "customer")
    assert (await _set(db, 2, "admin")).role == "admin"
    assert (await _set(db, 1, "customer")).roles == ["customer"]
    with pytest.raises(Conflict):
        await _set(db, 2, "customer", by=2)


async def test_an_admin_who_cannot_sign_in_yet_is_no_second_one(db: Database) -> None:
    await _set(db, 2, "admin")
    await db.transaction(
        lambda tx: User.filter(id=2).using_db(tx.models).update(state="OPENING", due_at=tx.now)
    )
    with pytest.raises(Conflict):
        await _set(db, 1, "customer")


async def test_two_admins_who_take_the_role_from_each_other_leave_one(db: Database) -> None:
    for _ in range(5):
        await _set(db, 1, "admin")
        await _set(db, 2, "admin")
        outcomes = await asyncio.gather(
            _set(db, 2, "customer", by=1), _set(db, 1, "customer", by=2), return_exceptions=True
        )
        assert sum(isinstance(one, Conflict) for one in outcomes) == 1, outcomes
        admins = await db.read(lambda r: User.filter(role="admin").using_db(r.models).count())
        assert admins == 1
        await _set(db, 1, "admin")


async def test_what_cannot_be_meant_is_refused(db: Database) -> None:
    with pytest.raises(NotFound):
        await _set(db, 99, "support")
    with pytest.raises(RuleBroken):
        await _set(db, 2, "support", "support")
