"""Tokens of callers: whose they are, whom they are for, how long they count, and what counts for nothing."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.errors import CallerUnknown
from shared.rpc import credentials
from shared.rpc.credentials import (
    LEEWAY_S,
    LIFE_S,
    Caller,
    Signer,
    Verifier,
    new_key,
    parse_keys,
    public_part,
)
from shared.settings import Current

ITEM, ORDER = new_key("item-svc"), new_key("order-svc")
KNOWN = f"{public_part(ITEM)} {public_part(ORDER)}"
NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of callers and called."""
    clock = Clock()
    monkeypatch.setattr(credentials, "utc_now", clock)
    return clock


def verifier(known: str = KNOWN, service: str = "order") -> Verifier:
    """What a service believes."""
    return Verifier(service, lambda: known)


def token(key: str = ITEM, service: str = "order", person: str | None = None) -> str:
    """A token in good order."""
    signed = Signer(lambda: key, person=person).token_for(service)
    assert signed is not None
    return signed


def made(key: str = ITEM, kid: Any = "item-svc", **changes: Any) -> str:
    """A token of other claims, signed well."""
    claims = {"iss": "item-svc", "aud": "order", "exp": NOON + timedelta(seconds=30), **changes}
    private = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(key.partition("=")[2] + "="))
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, private, "EdDSA", headers={"kid": kid})


def test_a_token_says_who_calls_and_for_whom() -> None:
    assert verifier().caller(f"Bearer {token()}") == Caller("item-svc")
    assert verifier().caller(f"bearer {token(person='alice')}") == Caller("item-svc", "alice")
    assert Caller("item-svc").service == "item"


def test_a_token_is_sent_until_half_of_its_time_is_over(clock: Clock) -> None:
    signer = Signer(lambda: ITEM)
    first = signer.token_for("order")
    assert signer.token_for("order") == first
    assert signer.token_for("payment") != first
    clock.now = NOON + timedelta(seconds=LIFE_S / 2 - 1)
    assert signer.token_for("order") == first
    clock.now = NOON + timedelta(seconds=LIFE_S / 2 + 1)
    assert signer.token_for("order") != first


def test_a_token_ends_and_clocks_may_differ_a_little(clock: Clock) -> None:
    believing, bearer = verifier(), f"Bearer {token()}"
    for fresh in (believing, verifier()):  # one has seen it before
        clock.now = NOON
        believing.caller(bearer)
        clock.now = NOON + timedelta(seconds=LIFE_S + LEEWAY_S - 1)
        assert fresh.caller(bearer).name == "item-svc"
        clock.now = NOON + timedelta(seconds=LIFE_S + LEEWAY_S + 1)
        with pytest.raises(CallerUnknown, match="expired"):
            fresh.caller(bearer)
    clock.now = NOON - timedelta(days=1)  # the called one's clock is behind
    assert verifier().caller(bearer).name == "item-svc"


_HEADER = base64.urlsafe_b64encode(b'{"alg":"none","kid":"item-svc"}').decode().rstrip("=")
_SIGNED_WITH_WHAT_ALL_KNOW = jwt.encode(
    {"iss": "item-svc", "aud": "order", "exp": 4e9},
    base64.urlsafe_b64decode(public_part(ITEM).partition("=")[2] + "="),
    "HS256",
    {"kid": "item-svc"},
)


WORTHLESS: list[str | None] = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    "Bearer a.b.c",
    "Bearer ..",
    "Basic aXRlbTppdGVt",
    f"Token {token()}",
    f"Bearer {token()}x",
    f"Bearer {token()} ",
    f"Bearer {token()[:-8]}",
    f"Bearer {token(service='payment')}",
    f"Bearer {token(new_key('item-svc'))}",
    f"Bearer {token(new_key('stranger'))}",
    f"Bearer {made(ORDER)}",
    f"Bearer {made(iss='order-svc')}",
    f"Bearer {made(kid='order-svc')}",
    f"Bearer {made(kid='')}",
    f"Bearer {made(exp=None)}",
    f"Bearer {made(exp=NOON - timedelta(seconds=60))}",
    f"Bearer {made(aud=None)}",
    f"Bearer {made(iss=None)}",
    f"Bearer {made(aud='order-svc')}",
    f"Bearer {made(sub=7)}",
    f"Bearer {_HEADER}.eyJpc3MiOiJpdGVtLXN2YyJ9.",
    f"Bearer {_SIGNED_WITH_WHAT_ALL_KNOW}",
    "Bearer " + base64.urlsafe_b64encode(b"[" * 1400).decode() + ".e30.x",
    "Bearer " + "é" * 50,
    "Bearer \x00.\x00.\x00",
    "Bearer " + "a" * 100_000,
]


@pytest.mark.parametrize("header", WORTHLESS, ids=range(len(WORTHLESS)))
def test_what_counts_for_nothing(header: str | None) -> None:
    with pytest.raises(CallerUnknown):
        verifier().caller(header)


def test_nonsense_is_refused_and_never_more_than_that() -> None:
    believing = verifier()
    good = token()
    for number in range(4_000):
        noise = os.urandom(1 + number % 40)
        at = number % len(good)
        for text in (noise.decode("latin-1"), good[:at] + noise.decode("latin-1") + good[at:]):
            with pytest.raises(CallerUnknown):
                believing.caller(f"Bearer {text}")


def test_without_a_key_nobody_is_believed_and_nothing_is_signed() -> None:
    assert Signer(lambda: "").token_for("order") is None
    with pytest.raises(CallerUnknown):
        verifier("").caller(f"Bearer {token()}")


def test_a_key_is_exchanged_while_calls_go_on(tmp_path: Path) -> None:
    mine, everybodys = tmp_path / "mine", tmp_path / "everybodys"
    mine.write_text(ITEM + "\n")
    everybodys.write_text(KNOWN)
    signer = Signer(Current("KEY", ITEM, {"KEY_FILE": str(mine)}))
    believing = Verifier("order", Current("KEYS", KNOWN, {"KEYS_FILE": str(everybodys)}))

    def call() -> str:
        return believing.caller(f"Bearer {signer.token_for('order')}").name

    old = signer.token_for("order")
    assert call() == "item-svc"
    new = new_key("item-svc")
    everybodys.write_text(f"{KNOWN} {public_part(new)}")
    assert call() == "item-svc"
    mine.write_text(new)
    assert call() == "item-svc"
    assert signer.token_for("order") != old
    everybodys.write_text(public_part(new))
    assert call() == "item-svc"
    with pytest.raises(CallerUnknown):
        believing.caller(f"Bearer {old}")
    everybodys.write_text("half a lis")  # it is being written
    assert call() == "item-svc"
    everybodys.unlink()
    assert call() == "item-svc"


@pytest.mark.parametrize(
    "text",
    ["item-svc", "item-svc=", "=abc", "item-svc=abc", f"{ITEM} x", f"item-svc={'é' * 43}"],
    ids=range(6),
)
def test_a_wrong_list_of_keys_is_refused_without_telling_a_key(text: str) -> None:
    with pytest.raises(ValueError, match="Expected") as refused:
        parse_keys(text)
    assert ITEM.partition("=")[2] not in str(refused.value)
