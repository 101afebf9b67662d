"""The rules of accounts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from user_svc import domain
from user_svc.domain import Failures, News, RefreshVerdict, Session
from user_svc.tokens import new_refresh_token, new_salt, read_refresh_token, successor

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SESSION_ID = "0198f3a0-7c1e-4d2a-9b6e-5f0c1d2e3a4b"
PAUSE = timedelta(seconds=300)
GRACE = timedelta(seconds=10)


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
        "rotated_at": NOW - GRACE,
        "successor_salt": "salt",
        "expires_at": NOW + timedelta(days=1),
        **changes,
    }
    return Session(**fields)  # type: ignore[arg-type]


LATER = NOW - GRACE - timedelta(seconds=1)
REQUEST = UUID(int=1)
RENEW, REPEAT, END, REFUSE = RefreshVerdict


@pytest.mark.parametrize(
    ("presented", "request_id", "session", "verdict"),
    [
        ("second", uuid4(), {}, RENEW),
        ("second", uuid4(), {"expires_at": NOW}, REFUSE),
        ("first", uuid4(), {"rotated_at": NOW}, REPEAT),
        ("first", uuid4(), {"rotated_at": NOW - timedelta(seconds=9)}, REPEAT),
        ("first", uuid4(), {"rotated_at": NOW - GRACE}, REPEAT),
        ("first", uuid4(), {"rotated_at": LATER}, END),
        ("first", REQUEST, {"rotated_at": LATER, "rotated_by": REQUEST}, REPEAT),
        (
            "first",
            uuid4(),
            {"rotated_at": None, "successor_salt": None},
            END,
        ),  # used before there was a grace
        ("older still", uuid4(), {"rotated_at": NOW}, END),
        ("older still", REQUEST, {"rotated_by": REQUEST}, END),
    ],
)
def test_what_a_refresh_token_is_worth(
    presented: str, request_id: UUID, session: dict[str, Any], verdict: RefreshVerdict
) -> None:
    assert domain.judge_refresh(_session(**session), presented, request_id, NOW, GRACE) is verdict


def test_no_session_is_refused() -> None:
    assert domain.judge_refresh(None, "second", uuid4(), NOW, GRACE) is REFUSE


def test_a_successor_needs_both_the_used_token_and_the_salt() -> None:
    used, salt = new_refresh_token(uuid4()), new_salt()
    assert successor(used, salt) == successor(used, salt)
    assert len({successor(used, salt), successor(used, new_salt()), used}) == 3
    assert successor(new_refresh_token(used.session_id), salt) != successor(used, salt)


def test_a_refresh_token_is_read_as_it_was_written() -> None:
    token = new_refresh_token(uuid4())
    assert read_refresh_token(token.text) == token
    assert token.secret not in token.secret_hash


@pytest.mark.parametrize(
    "text", ["", ".", "x.y", SESSION_ID, f"{SESSION_ID}.", f"{SESSION_ID}." + "x" * 1000, "\x00"]
)
def test_what_never_was_a_refresh_token_is_not_read(text: str) -> None:
    assert read_refresh_token(text) is None


def test_a_change_of_a_profile_follows_the_rules_of_signing_up() -> None:
    assert domain.change_errors(None, None, None, None) == []
    assert domain.change_errors("Kim", "Seoul", "12345678", "old") == []
    bad = domain.change_errors(" ", "x" * 301, "short", None)
    assert [error.field for error in bad] == ["name", "address", "password", "current_password"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("out_of_stock", "order_failed"),
        ("timeout", "order_failed"),
        ("something new", "order_failed"),
        ("cancelled_by_buyer", "order_cancelled"),
        ("cancelled_by_admin", "order_cancelled"),
        ("payment_expired", "order_expired"),
        ("payment_kept", "order_failed"),
    ],
)
def test_what_a_failure_is_called_follows_from_its_reason(reason: str, kind: str) -> None:
    news = domain.failure(7, uuid4(), reason)
    assert (news.kind, news.reason, news.user_id) == (kind, reason, 7)
    assert str(news.order_id) in domain.text(news)
    assert domain.subject(news.kind)


def test_a_refund_says_how_much() -> None:
    news = News(user_id=7, order_id=uuid4(), kind="payment_refunded", amount=49_800)
    assert "49,800 won" in domain.text(news)
    part = domain.refund_in_part(7, uuid4(), uuid4(), 1000, 3000)
    assert "part" in domain.text(part)
    assert "1,000 won" in domain.text(part)
    assert domain.subject(part.kind) != domain.subject(news.kind)


def test_tries_become_rarer_and_end() -> None:
    pauses = [domain.next_try(attempts) for attempts in range(1, domain.MOST_TRIES)]
    waits = [pause.total_seconds() for pause in pauses if pause is not None]
    assert len(waits) == len(pauses)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (30, 3600)
    assert domain.next_try(domain.MOST_TRIES) is None
