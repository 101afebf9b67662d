"""`outbox`: what it asks the shop, what it prints, and what it refuses."""

import json
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest

from ops import as_admin, outbox
from ops.shop import Shop
from shared.service.describe import ParkedPage
from tests.gateway.test_ops import parked, status


class Door:
    """The gateway's door with two outboxes behind it, and two parked messages, a page each."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, dict(request.url.params)
        self.asked.append((request.method, path, json.loads(request.content) if request.content else query))
        if path == "/users/login":
            return httpx.Response(200, json={"access_token": "a", "refresh_token": "r", "expires_in": 9})
        if path == "/ops/outbox":
            boxes = [
                {"service": "item", "present": False, "status": None},
                {"service": "order", "present": True, "status": status("order")},
            ]
            return httpx.Response(200, content=msgspec.json.encode({"items": boxes, "next": None}))
        if path == "/ops/outbox/order/parked":
            name, after = ("m2", None) if "after" in query else ("m1", "m1")
            return httpx.Response(
                200, content=msgspec.json.encode(ParkedPage(items=[parked(name)], next=after))
            )
        if path == "/ops/outbox/order/parked/send":
            return httpx.Response(202, json={"sent": 1})
        problem = {"type": "/problems/x", "title": "No", "status": 404, "detail": "There is no such service."}
        return httpx.Response(404, json=problem)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """The door at which the command asks."""
    door = Door()
    shop = partial(Shop, transport=httpx.MockTransport(door.answer))
    monkeypatch.setattr(as_admin, "Shop", shop)
    return door


def test_each_outbox_is_shown(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert outbox.main([]) == 0
    shown = capsys.readouterr().out
    assert "away" in shown
    assert "order" in shown


def test_what_could_not_be_sent_is_listed_page_by_page(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outbox.main(["order"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("m1", "m2", "it is too large"))
    assert [query.get("after") for _, path, query in door.asked if path.endswith("parked")] == [None, "m1"]


@pytest.mark.parametrize(
    ("words", "body", "code"),
    [
        (["--all"], {"all": True}, 0),
        (["--send", "m1"], {"ids": ["m1"]}, 0),
        (["--send", "m1", "mx"], {"ids": ["m1", "mx"]}, 1),
    ],
)
def test_they_are_tried_again(door: Door, words: list[str], body: dict[str, Any], code: int) -> None:
    assert outbox.main(["order", *words]) == code
    assert door.asked[-1] == ("POST", "/ops/outbox/order/parked/send", body)


@pytest.mark.parametrize("words", [["--all"], ["order", "--all", "--send", "m1"], ["order", "--send"]])
def test_what_is_unclear_is_refused(door: Door, words: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        outbox.main(words)
    assert refused.value.code == 2


def test_a_service_that_there_is_not_is_said_so(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert outbox.main(["nobody"]) == 1
    assert "no such service" in capsys.readouterr().err
