"""`payments`: what it asks the shop, what it prints, and what it refuses."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from deploy.local.layout import layout
from ops import as_admin, payments
from ops.shop import Shop
from payment_svc.contracts import PaymentPage, Resolution
from tests.gateway.test_payments import payment
from tests.gateway.test_resolving import BEGIN, PAYMENT, operators

RESOLVE = f"/ops/payments/{PAYMENT}/resolve"
CLOSE = ["--resolve", str(PAYMENT), "--as", "returned", "--reason", " on the [bold]statement "]


class Door:
    """The gateway's door with two payments behind it, a page each; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.known = [
            operators(
                details={"code": "NOT_CANCELABLE", "message": "no [such] thing", "paymentKey": "tviva"}
            ),
            operators(
                UUID(int=8),
                order_id=None,
                reason="points_spent",
                resolution=Resolution(outcome="kept", reason="agreed", by=1, at=BEGIN),
                ask_due_at=BEGIN,
            ),
        ]

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, dict(request.url.params)
        self.asked.append((request.method, path, json.loads(request.content) if request.content else query))
        if path == "/users/login":
            return httpx.Response(200, json={"access_token": "a", "refresh_token": "r", "expires_in": 9})
        if path == "/ops/payments":
            at = 1 if "after" in query else 0
            page = PaymentPage(
                items=self.known[at : at + 1], next=self.known[0].id if len(self.known) > at + 1 else None
            )
            return httpx.Response(200, content=msgspec.json.encode(page))
        if path == RESOLVE:
            closed = payment(PAYMENT, status="REFUNDED", amount=49_800, refunded=49_800)
            return httpx.Response(200, content=msgspec.json.encode(closed))
        if path == "/ops/audit":
            deed = {
                "id": 1,
                "service": "payment",
                "at": "2026-01-31T12:00:00Z",
                "by": 1,
                "action": "payment.resolved",
                "target": f"payment {PAYMENT}",
                "affected": 1,
                "reason": "agreed [over] there",
                "details": {"outcome": "kept", "reason": "agreed [over] there"},
            }
            return httpx.Response(200, json={"items": [deed], "next": None})
        status = 404 if path.endswith(f"{UUID(int=9)}/resolve") else 409
        problem = {"type": "/problems/x", "title": "No", "status": status, "detail": f"said {status}"}
        return httpx.Response(status, json=problem)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """The command speaks to it instead of a shop."""
    door = Door()
    monkeypatch.setattr(as_admin, "Shop", partial(Shop, transport=httpx.MockTransport(door.answer)))
    return door


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the breaks of the lines."""
    return "".join(character for character in capsys.readouterr().out if character not in " \n│")


def test_those_that_need_a_person_are_listed_to_the_end(
    door: Door, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "payments.json"
    assert payments.main(["--json", str(file)]) == 0
    out = printed(capsys)
    for words in (str(PAYMENT), "NOT_CANCELABLE", "no[such]thing", "49,800", "points", "agreed"):
        assert words in out, words
    assert "tviva" not in out
    assert door.asked[1:] == [
        ("GET", "/ops/payments", {"status": "NEEDS_ATTENTION", "limit": "100"}),
        ("GET", "/ops/payments", {"status": "NEEDS_ATTENTION", "limit": "100", "after": str(PAYMENT)}),
    ]
    assert [one["id"] for one in json.loads(file.read_text())] == [str(PAYMENT), str(UUID(int=8))]


@pytest.mark.parametrize(
    ("words", "said"), [([], "Nopaymentneedsanybody."), (["--status", "KEPT"], "NopaymentisKEPT.")]
)
def test_none_is_said_in_words(
    door: Door, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    door.known = []
    assert payments.main(words) == 0
    assert said in printed(capsys)
    assert door.asked[-1][2]["status"] == (words[1] if words else "NEEDS_ATTENTION")


def test_one_is_closed_with_a_reason(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert payments.main(CLOSE) == 0
    assert door.asked[-1] == ("POST", RESOLVE, {"as": "returned", "reason": "on the [bold]statement"})
    assert f"{PAYMENT}isclosedasreturned:REFUNDED,49,800won." in printed(capsys)


def test_who_closed_what_is_shown(door: Door, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    assert payments.main(["--audit", "--json", str(file)]) == 0
    assert door.asked[-1] == ("GET", "/ops/audit", {"service": "payment", "limit": "100"})
    out = printed(capsys)
    for words in ("payment.resolved", str(PAYMENT), "agreed[over]there", "outcomekept"):
        assert words in out, words
    assert json.loads(file.read_text())[0]["details"]["outcome"] == "kept"


@pytest.mark.parametrize(("number", "said"), [(UUID(int=9), "said 404"), (UUID(int=10), "409 No: said 409")])
def test_what_cannot_be_closed_is_told(
    door: Door, capsys: pytest.CaptureFixture[str], number: UUID, said: str
) -> None:
    assert payments.main(["--resolve", str(number), "--as", "kept", "--reason", "x"]) == 1
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--status", "LOST"], "'LOST' is not one of ASKING, CAPTURED"),
        (["--status", "needs_attention"], "is not one of"),
        (["--resolve", "7"], "'7' is no payment's id"),
        (["--resolve", ""], "is no payment's id"),
        (["--resolve", "../x"], "is no payment's id"),
        (["--resolve", str(PAYMENT)], "--resolve needs --as returned|kept|not_charged"),
        (["--resolve", str(PAYMENT), "--as", "lost"], "'lost' is not one of returned, kept, not_charged"),
        (["--resolve", str(PAYMENT), "--as", "kept"], "--resolve needs --reason"),
        ([*CLOSE[:-1], "  "], "--resolve needs --reason"),
        ([*CLOSE[:-1], "x" * 201], "of 1 to 200 characters"),
        ([*CLOSE, "--audit"], "--resolve and --audit do not go together"),
        ([*CLOSE, "--status", "KEPT"], "--status and --resolve do not go together"),
        (["--as", "kept"], "are for --resolve"),
        (["--reason", ""], "are for --resolve"),
        (["--audit", "--reason", "x"], "are for --resolve"),
        (["--json", "/no/such/place/file"], "there is no directory"),
        ([str(PAYMENT)], "unrecognized arguments"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: list[str], said: str, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        payments.main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
    assert door.asked == []


def test_a_shop_that_is_away_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = layout({"SHOP_GATEWAY_URL": "http://127.0.0.1:1"})
    monkeypatch.setattr(as_admin, "current_layout", lambda: nowhere)
    assert payments.main([]) == 1
    assert "the shop does not answer" in capsys.readouterr().err
