"""Passwords and addresses by mail: what is sent to whom, what its tokens are worth, what nobody learns."""

import asyncio
import re
from typing import Any

import msgspec
import pytest

from shared.database.units import Database
from shared.errors import Conflict, RuleBroken, TooMany, Unauthorized
from shared.ids import new_id
from user_svc import calls, domain, mailings, profiles, recovery, seeds
from user_svc.contracts import (
    AskEmailProof,
    AskPasswordReset,
    ChangeMe,
    GetMe,
    Login,
    ProveEmail,
    Refresh,
    ResetPassword,
    Tokens,
)
from user_svc.letters import Letter, NotSent
from user_svc.settings import UserSettings

PASSWORD = seeds.BUYER_PASSWORD
EMAIL = "buyer1@sagamart.local"
NEW = "new@sagamart.local"
ANOTHER = "another password"
SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1)


class Post:
    """A channel that keeps what it is given, unless it is to fail."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.failures = 0

    async def send(self, letter: Letter) -> None:
        if self.failures:
            self.failures -= 1
            raise NotSent("451 later")
        self.letters.append(letter)

    def token(self) -> str:
        """The token of the latest letter."""
        [token] = re.findall(r"^[\w-]{43}$", self.letters[-1].text, re.MULTILINE)
        return token


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    """What is mailed."""
    post = Post()
    monkeypatch.setattr(mailings, "outbound", lambda _: post)
    return post


@pytest.fixture(autouse=True)
async def _people(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("SHOP_ARGON2_PASSES", "1")
    await db.transaction(seeds.seed)


async def _login(db: Database, email: str = EMAIL, password: str = PASSWORD) -> Tokens:
    return await calls.login(Login(email=email, password=password), db, SETTINGS)


async def _forgot(db: Database, email: str = EMAIL, client: str = "10.0.0.1") -> None:
    call = AskPasswordReset(email=email, client=client)
    await db.transaction(lambda tx: recovery.ask_password_reset(call, tx))


async def _reset(db: Database, token: str, password: str = ANOTHER) -> None:
    await recovery.reset_password(ResetPassword(token=token, password=password), db, SETTINGS)


async def _prove(db: Database, token: str) -> None:
    await db.transaction(lambda tx: recovery.prove_email(ProveEmail(token=token), tx))


async def _send(db: Database, **changes: Any) -> None:
    await mailings.send_due(db, msgspec.structs.replace(SETTINGS, **changes))


async def test_a_forgotten_password_is_set_anew_and_all_sessions_end(db: Database, post: Post) -> None:
    before = await _login(db)
    await _forgot(db, "Buyer1@SAGAMART.local")
    await _send(db)
    token = post.token()
    await _reset(db, token)
    with pytest.raises(Unauthorized):
        await calls.refresh(Refresh(request_id=new_id(), refresh_token=before.refresh_token), db, SETTINGS)
    with pytest.raises(Unauthorized):
        await _login(db)
    await _login(db, password="another password")
    with pytest.raises(RuleBroken, match="token"):
        await _reset(db, token)


async def test_of_those_who_use_a_token_at_once_one_does(db: Database, post: Post) -> None:
    await _forgot(db)
    await _send(db)
    results = await asyncio.gather(
        *(_reset(db, post.token(), f"password {n}") for n in range(4)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in results) == ["NoneType", *["RuleBroken"] * 3]


@pytest.mark.parametrize("email", ["nobody@sagamart.local", "no address", "", "x" * 100_000, "b\x00"])
async def test_nobody_gets_a_letter_where_there_is_no_account(db: Database, post: Post, email: str) -> None:
    await _forgot(db, email)
    await db.transaction(lambda tx: recovery.ask_email_proof(AskEmailProof(email=email), tx))
    await _send(db)
    assert post.letters == []
    assert await db.read(lambda r: r.rows("SELECT 1 FROM mailings WHERE due_at IS NOT NULL")) == []


async def test_asking_looks_at_no_user(db: Database) -> None:
    """The same is written whoever it is, so that nothing takes longer for an address that is known."""
    await _forgot(db)
    await _forgot(db, "nobody@sagamart.local")
    rows = await db.read(lambda r: r.rows("SELECT kind, client, user_id, attempts FROM mailings"))
    assert len(rows) == 2
    assert rows[0] == rows[1]


async def test_a_token_expires_and_a_later_letter_replaces_it(db: Database, post: Post) -> None:
    await _forgot(db)
    await _send(db, reset_token_s=0.001)
    with pytest.raises(RuleBroken):
        await _reset(db, post.token())
    await _forgot(db)
    await _send(db)
    first = post.token()
    await _forgot(db)
    await _send(db)
    with pytest.raises(RuleBroken):
        await _reset(db, first)
    await _reset(db, post.token())


@pytest.mark.parametrize("token", ["", "x", "x" * 100_000, "\x00"])
async def test_what_is_no_token_is_refused(db: Database, token: str) -> None:
    for used in (_reset(db, token), _prove(db, token)):
        with pytest.raises(RuleBroken):
            await used


async def test_a_token_is_for_one_thing(db: Database, post: Post) -> None:
    await _forgot(db)
    await _send(db)
    with pytest.raises(RuleBroken):
        await _prove(db, post.token())
    with pytest.raises(RuleBroken, match="fields"):
        await _reset(db, post.token(), "short")
    await _reset(db, post.token())


async def test_only_hashes_are_kept_and_no_address_for_longer_than_it_is_needed(
    db: Database, post: Post
) -> None:
    await _forgot(db)
    await _send(db)
    for table in ("mailings", "mailed_tokens"):
        kept = str(await db.read(lambda r, t=table: r.rows(f"SELECT * FROM {t}")))
        assert post.token() not in kept
    assert EMAIL not in str(await db.read(lambda r: r.rows("SELECT * FROM mailings")))


async def test_a_letter_that_cannot_be_sent_now_is_sent_later_with_a_token_of_its_own(
    db: Database, post: Post
) -> None:
    post.failures = 1
    await _forgot(db)
    await _send(db)
    assert post.letters == []
    await db.execute("UPDATE mailings SET due_at = '2026-01-01'")
    await _send(db)
    await _reset(db, post.token())


async def test_letters_are_counted_by_address_and_by_who_asks(db: Database, post: Post) -> None:
    await asyncio.gather(*(_forgot(db, client=f"10.0.0.{n}") for n in range(8)))
    await _send(db)
    assert len(post.letters) == mailings.MOST_TO_ADDRESS
    for number in range(mailings.MOST_FROM_CLIENT):
        await _forgot(db, f"nobody{number}@sagamart.local", "10.0.1.1")
    with pytest.raises(TooMany):
        await _forgot(db, client="10.0.1.1")


async def test_without_mail_only_a_local_run_says_the_token(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(mailings.log, "info", lambda *words, **more: said.append((words, more)))
    monkeypatch.setattr(mailings.log, "warning", lambda *words, **more: said.append((words, more)))
    await _forgot(db)
    await _send(db)
    assert said == [(("mailing.no_channel",), {"advice": "set SHOP_SMTP_URL"})]
    await _forgot(db)
    await _send(db, log_letters=True, mail_link="https://shop.example/{page}#{token}")
    [found] = re.findall(r"https://shop.example/password-reset#([\w-]{43})\n", said[-1][1]["letter"])
    await _reset(db, found)


async def _change(db: Database, email: str, password: str | None = PASSWORD) -> None:
    await profiles.change_me(ChangeMe(user_id=2, email=email, current_password=password), db, SETTINGS)


async def _me(db: Database) -> tuple[str, bool]:
    me = await db.read(lambda r: profiles.get_me(GetMe(user_id=2), r))
    return me.email, me.email_proven


async def test_a_new_address_counts_once_it_is_proven_and_the_old_one_is_told(
    db: Database, post: Post
) -> None:
    await _change(db, NEW)
    assert await _me(db) == (EMAIL, False)
    await _send(db)
    assert [letter.to for letter in post.letters] == [NEW]
    await _prove(db, post.token())
    assert await _me(db) == (NEW, True)
    await _send(db)
    assert (post.letters[-1].to, post.letters[-1].subject) == (EMAIL, domain.letter_subject("moved"))
    await _login(db, NEW)
    with pytest.raises(Unauthorized):
        await _login(db)


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [("no address", PASSWORD, "email"), (NEW, None, "current_password"), (NEW, "wrong", "current_password")],
)
async def test_a_new_address_needs_the_password_and_to_be_one(
    db: Database, email: str, password: str | None, field: str
) -> None:
    with pytest.raises(RuleBroken) as refused:
        await _change(db, email, password)
    assert [error.field for error in refused.value.errors or []] == [field]


async def test_anothers_address_gets_no_letter_and_nobody_is_told_why(db: Database, post: Post) -> None:
    await _change(db, "buyer2@sagamart.local")
    await _send(db)
    assert post.letters == []


async def test_an_address_that_is_taken_in_between_is_a_conflict(db: Database, post: Post) -> None:
    await _change(db, NEW)
    await _send(db)
    await db.execute(f"UPDATE users SET email = '{NEW}', email_key = '{NEW}' WHERE id = 3")
    with pytest.raises(Conflict):
        await _prove(db, post.token())
    assert await _me(db) == (EMAIL, False)


async def test_the_present_address_can_be_proven(db: Database, post: Post) -> None:
    await db.transaction(lambda tx: recovery.ask_email_proof(AskEmailProof(email=EMAIL), tx))
    await _send(db)
    await _prove(db, post.token())
    assert await _me(db) == (EMAIL, True)


async def test_a_new_password_ends_the_letters_before_it(db: Database, post: Post) -> None:
    await _forgot(db)
    await _send(db)
    call = ChangeMe(user_id=2, password="another password", current_password=PASSWORD)
    await profiles.change_me(call, db, SETTINGS)
    with pytest.raises(RuleBroken):
        await _reset(db, post.token(), "a third password")
