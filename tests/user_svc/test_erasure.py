"""The end of an account: what goes at once, what is told, and who may not go yet."""

from datetime import timedelta
from typing import Any, cast

import pytest

from ops.verify.erasures import Gone, _erased
from order_svc.contracts import CountUnsettled, Unsettled
from shared.database import erase
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import Conflict, NotFound, RuleBroken, Unauthorized
from tests.support.databases import Heard
from user_svc import calls, erasure, mailings, personal, profiles, seeds
from user_svc.contracts import EraseMe, ExportUser, FindUsers, GetMe, Login, TokensEnded, UserErased
from user_svc.settings import UserSettings

PASSWORD = seeds.BUYER_PASSWORD
EMAIL = "buyer1@sagamart.local"
SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1)


class Orders:
    """An order service, by how many orders are under way."""

    def __init__(self, unsettled: int = 0) -> None:
        self.unsettled = unsettled

    async def call(self, call: CountUnsettled) -> Unsettled:
        assert call.buyer_id in (1, 2)
        return Unsettled(count=self.unsettled)


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)
    await calls.login(Login(email=EMAIL, password=PASSWORD, client="10.9.8.7"), db, SETTINGS)
    await db.transaction(lambda tx: mailings.ask(tx, "change", "new@sagamart.local", user_id=2))


async def _erase(db: Database, orders: Any = None, password: str = PASSWORD, user_id: int = 2) -> None:
    call = EraseMe(user_id=user_id, password=password)
    await erasure.erase_me(call, db, cast(Any, orders or Orders()), SETTINGS)


async def _everything(db: Database) -> str:
    tables = [*(one.table for one in personal.HELD), *personal.NOBODYS]
    rows = [await db.read(lambda r, t=table: r.rows(f"SELECT * FROM {t}")) for table in tables]
    return str(rows)


async def test_who_goes_leaves_a_bare_number(db: Database, heard: Heard) -> None:
    kept = await _everything(db)
    assert all(one in kept for one in ("Buyer One", EMAIL, "10.9.8.7", "new@sagamart"))
    await _erase(db)
    left = await _everything(db)
    assert not any(one in left for one in ("Buyer One", EMAIL, "10.9.8.7", "new@sagamart"))
    assert heard.of(UserErased) == [UserErased(user_id=2)]
    assert heard.of(TokensEnded)[-1].below == 1
    with pytest.raises(Unauthorized):
        await calls.login(Login(email=EMAIL, password=PASSWORD), db, SETTINGS)
    with pytest.raises(NotFound):
        await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))
    with pytest.raises(NotFound):
        await _erase(db)
    assert (await db.read(lambda r: profiles.find_users(FindUsers(ids=[1, 2, 3]), r))).ids == [1, 3]
    assert "Buyer Two" in left


@pytest.mark.parametrize(
    ("user_id", "password", "unsettled", "refusal"),
    [
        (2, "wrong password", 0, RuleBroken),
        (2, "", 0, RuleBroken),
        (2, PASSWORD, 1, Conflict),
        (1, seeds.ADMIN_PASSWORD, 0, Conflict),
        (99, PASSWORD, 0, NotFound),
    ],
)
async def test_who_may_not_go_stays_whole(
    db: Database, heard: Heard, user_id: int, password: str, unsettled: int, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await _erase(db, Orders(unsettled), password, user_id)
    assert heard.of(UserErased) == []
    await calls.login(Login(email=EMAIL, password=PASSWORD), db, SETTINGS)


async def test_it_is_told_a_second_time_a_day_later(db: Database, heard: Heard) -> None:
    await _erase(db)
    await db.transaction(erasure.sweep_again)
    assert len(heard.of(UserErased)) == 1

    async def tomorrow(tx: Transaction) -> None:
        tx.now += timedelta(days=1, seconds=1)
        await erasure.sweep_again(tx)

    for _ in range(2):
        await db.transaction(tomorrow)
    assert len(heard.of(UserErased)) == 2


async def test_an_erasure_may_come_twice(db: Database) -> None:
    await _erase(db)
    before = await _everything(db)
    await db.transaction(lambda tx: erase(tx, personal.HELD, 2))
    assert await _everything(db) == before


async def test_an_export_has_all_but_secrets(db: Database) -> None:
    kept = await db.read(lambda r: personal.export_user(ExportUser(user_id=2), r))
    assert kept.cut == []
    assert kept.tables["users"][0]["email"] == EMAIL
    assert kept.tables["sessions"][0]["client"] == "10.9.8.7"
    assert kept.tables["mailings"][0]["email"] == "new@sagamart.local"
    assert not {"password_hash", "secret_hash"} & {
        name for rows in kept.tables.values() for row in rows for name in row
    }
    nobody = await db.read(lambda r: personal.export_user(ExportUser(user_id=99), r))
    assert all(rows == [] for rows in nobody.tables.values())


async def test_an_export_is_bounded_and_says_so(db: Database) -> None:
    await db.transaction(
        lambda tx: tx.write_many(
            "INSERT INTO ended_tokens (user_id, below, ended_at) VALUES (2, %s, %s)",
            [(number, tx.now) for number in range(1100)],
        )
    )
    kept = await db.read(lambda r: personal.export_user(ExportUser(user_id=2), r))
    assert (len(kept.tables["ended_tokens"]), kept.cut) == (1000, ["ended_tokens"])


async def test_verify_finds_what_an_erasure_has_not_reached(db: Database) -> None:
    users = personal.HELD[0]
    condition, values = users.unerased
    sql = f"SELECT id FROM users WHERE id IN (2, 3) AND {condition} ORDER BY id"
    assert await db.read(lambda r: r.rows(sql, values)) == [(2,), (3,)]
    await _erase(db)
    assert await db.read(lambda r: r.rows(sql, values)) == [(3,)]
    assert "users of user" in next(_erased(Gone(2, ["users of user"])))
