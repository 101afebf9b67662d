"""The rules of accounts."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from user_svc import domain
from user_svc.domain import Failures, RefreshVerdict, Session
from user_svc.tokens import new_refresh_token, read_refresh_token

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAUSE = timedelta(seconds=300)


def _bad_fields(**changes: str) -> list[str]:
    fields = {"email": "a@b.example", "name": "Kim", "address": "Seoul", "password": "12345678", **changes}
    return [error.field for error in domain.registration_errors(**fields)]


@pytest.mark.parametrize(
    "email",
    ["admin@sagamart.local", "A.b+c@Mail.Example.COM", "o'hara@x.co", "a" * 64 + "@b.example", "1@2.3"],
)
def test_addresses_that_can_be_registered(email: str) -> None:
    assert _bad_fields(email=email) == []


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "@",
        "a@",
        "@b.example",
        "a@b",
        "a b@c.example",
        "a@b..example",
        ".a@b.example",
        "a.@b.example",
        "a..b@c.example",
        "a@-b.example",
        "a@b-.example",
        "a@b.example\n",
        " a@b.example",
        "a@b@c.example",
        "a@b.example.",
        "\u212a@b.example",
        "é@b.example",
        "a" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b." * 130 + "example",
        "a\x00@b.example",
    ],
)
def test_addresses_that_cannot(email: str) -> None:
    assert _bad_fields(email=email) == ["email"]


def test_every_bad_field_is_named_at_once() -> None:
    assert _bad_fields(email="x", name=" ", address="", password="short") == [
        "email",
        "name",
        "address",
        "password",
    ]


@pytest.mark.parametrize("name", ["", " ", "a" * 101, "a\x00b", "a\nb", "a\x7fb"])
def test_names_that_cannot_be(name: str) -> None:
    assert _bad_fields(name=name) == ["name"]


def test_an_address_may_have_lines() -> None:
    assert _bad_fields(address="1 Main Street\nSeoul") == []
    assert _bad_fields(address="\n") == ["address"]
    assert _bad_fields(address="a" * 301) == ["address"]


@pytest.mark.parametrize("password", ["        ", "비밀번호비밀번호", "\x00" * 8, "🔑" * 128])
def test_passwords_are_of_any_characters(password: str) -> None:
    assert _bad_fields(password=password) == []


@pytest.mark.parametrize("password", ["", "1234567", "1" * 129])
def test_passwords_have_a_length(password: str) -> None:
    assert _bad_fields(password=password) == ["password"]


def test_a_letter_counts_however_it_is_composed() -> None:
    assert domain.password_bytes("caf\u00e9") == domain.password_bytes("cafe\u0301")
    assert domain.password_bytes("a") != domain.password_bytes("A")


def test_failures_make_one_wait_only_at_the_limit() -> None:
    failed = None
    for _ in range(3):
        assert domain.seconds_to_wait(failed, NOW, limit=3, pause=PAUSE) == 0
        failed = domain.one_more_failure(failed, NOW, PAUSE)
    assert domain.seconds_to_wait(failed, NOW, limit=3, pause=PAUSE) == 300
    assert domain.seconds_to_wait(failed, NOW + timedelta(seconds=0.5), limit=3, pause=PAUSE) == 300
    assert domain.seconds_to_wait(failed, NOW + PAUSE, limit=3, pause=PAUSE) == 0


def test_failures_are_forgotten_after_a_pause() -> None:
    assert domain.one_more_failure(Failures(9, NOW), NOW + PAUSE, PAUSE).count == 1
    assert domain.one_more_failure(Failures(9, NOW), NOW + PAUSE / 2, PAUSE).count == 10


def test_the_throttle_tells_accounts_and_clients_apart() -> None:
    key = domain.throttle_key("a@b.example", "10.0.0.1")
    assert key == domain.throttle_key("A@B.example", "10.0.0.1")
    assert key != domain.throttle_key("a@b.example", "10.0.0.2")
    assert key != domain.throttle_key("b@b.example", "10.0.0.1")


def _session(**changes: object) -> Session:
    fields = {
        "id": uuid4(),
        "user_id": 7,
        "secret_hash": "second",
        "previous_hash": "first",
        "rotated_by": uuid4(),
        "expires_at": NOW + timedelta(days=1),
        **changes,
    }
    return Session(**fields)  # type: ignore[arg-type]


def test_the_valid_token_is_renewed() -> None:
    assert domain.judge_refresh(_session(), "second", uuid4(), NOW) is RefreshVerdict.RENEW


def test_a_used_token_ends_the_session() -> None:
    assert domain.judge_refresh(_session(), "first", uuid4(), NOW) is RefreshVerdict.END
    assert domain.judge_refresh(_session(), "older still", uuid4(), NOW) is RefreshVerdict.END


def test_a_repeated_request_is_renewed_again() -> None:
    session = _session()
    assert session.rotated_by is not None
    assert domain.judge_refresh(session, "first", session.rotated_by, NOW) is RefreshVerdict.RENEW
    assert domain.judge_refresh(session, "older still", session.rotated_by, NOW) is RefreshVerdict.END


def test_no_session_or_an_expired_one_is_refused() -> None:
    assert domain.judge_refresh(None, "second", uuid4(), NOW) is RefreshVerdict.REFUSE
    assert domain.judge_refresh(_session(expires_at=NOW), "second", uuid4(), NOW) is RefreshVerdict.REFUSE


def test_a_refresh_token_is_read_as_it_was_written() -> None:
    token = new_refresh_token(uuid4())
    assert read_refresh_token(token.text) == token
    assert token.secret not in token.secret_hash


@pytest.mark.parametrize(
    "text", ["", ".", "x.y", str(uuid4()), f"{uuid4()}.", f"{uuid4()}." + "x" * 1000, "\x00"]
)
def test_what_never_was_a_refresh_token_is_not_read(text: str) -> None:
    assert read_refresh_token(text) is None
