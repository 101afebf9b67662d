"""`dead` and `redrive`: what they ask the shop, what they print, and what they refuse."""

import json
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest

from deploy.local.layout import layout
from ops import as_admin, dead, redrive
from ops.shop import Shop
from query_svc.dead_letters.contracts import DeadLetterGroup, DeadLetterGroupPage, DeadLetterPage
from shared.clock import utc_now
from tests.gateway.test_ops import GROUP, letter

SENT = ("POST", "/ops/dead-letters/redrive")
GIVEN_UP = ("POST", "/ops/dead-letters/discard")


class Door:
    """The gateway's door with two dead letters of one group behind it; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.redriving = [1, 0]
        """How many are on their way, at each look."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, dict(request.url.params)
        body = json.loads(request.content) if request.content else query
        self.asked.append((request.method, path, body))
        if path == "/users/login":
            return httpx.Response(
                200, json={"access_token": "a", "refresh_token": "r", "expires_in": 9, "token_type": "Bearer"}
            )
        if path == "/ops/dead-letters/groups":
            return _json(DeadLetterGroupPage(items=[self.group()], next=None))
        if path == "/ops/dead-letters":
            first = "after" not in query
            return _json(DeadLetterPage(items=[letter(id=2 if first else 1)], next=2 if first else None))
        if path == "/ops/dead-letters/1":
            return _json(letter(body='[{"a":1}]', message="no [such] thing"))
        if (request.method, path) in (SENT, GIVEN_UP):
            return httpx.Response(200, json={"changed": 2, "unchanged": 1})
        problem = {
            "type": "/problems/not-found",
            "title": "Not found",
            "status": 404,
            "detail": "no letter 9",
        }
        return httpx.Response(404, json=problem)

    def group(self) -> DeadLetterGroup:
        left = self.redriving.pop(0) if len(self.redriving) > 1 else self.redriving[0]
        return DeadLetterGroup(
            group=GROUP,
            queue="item.order.placed",
            service="item",
            handler="item_svc.events.reserve_stock",
            exception="ValueError",
            dead=2,
            redriving=left,
            redriven=0,
            discarded=0,
            failed_redrives=3,
            first_seen=utc_now(),
            last_seen=utc_now(),
            newest=2,
            sample=letter(id=2),
        )


def _json(document: object) -> httpx.Response:
    return httpx.Response(200, content=msgspec.json.encode(document))


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """Commands speak to it instead of a shop."""
    door = Door()
    monkeypatch.setattr(as_admin, "Shop", partial(Shop, transport=httpx.MockTransport(door.answer)))
    monkeypatch.setattr(redrive, "LOOK_S", 0.0)
    return door


def test_groups_are_shown_with_their_counts(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead.main([]) == 0
    printed = capsys.readouterr().out
    for words in (GROUP, "item.order.placed", "ValueError", "no"):
        assert words in printed
    assert door.asked[-1][2]["all"] == "false"


def test_a_group_is_shown_to_its_end(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead.main(["--group", GROUP, "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [2, 1]
    assert door.asked[-1][2] == {"group": GROUP, "state": "DEAD", "after": "2", "limit": "100"}
    assert dead.main(["--group", GROUP, "--all"]) == 0
    assert "state" not in door.asked[-1][2]


def test_one_is_shown_with_its_body(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead.main(["1"]) == 0
    printed = capsys.readouterr().out
    assert "ValueError: no [such] thing" in printed
    assert '"a": 1' in printed
    assert dead.main(["1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["body"] == '[{"a":1}]'


def test_letters_are_given_up_for_a_reason(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead.main(["--discard", "1", "2", "--reason", "junk"]) == 0
    assert door.asked[-1] == (*GIVEN_UP, {"ids": [1, 2], "reason": "junk"})
    assert "2 discarded, 1 were not DEAD" in capsys.readouterr().out
    assert dead.main(["--discard", "--group", GROUP, "--reason", "junk"]) == 0
    assert door.asked[-1] == (*GIVEN_UP, {"group": GROUP, "reason": "junk"})


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["1", "2"], {"ids": [1, 2]}),
        (["--group", GROUP], {"group": GROUP}),
        (["--all"], {"all": True}),
    ],
)
def test_letters_are_sent_back_and_followed(
    door: Door, capsys: pytest.CaptureFixture[str], words: list[str], body: dict[str, Any]
) -> None:
    assert redrive.main(words) == 0
    assert (*SENT, body) in door.asked
    assert "2 sent back, 1 were not DEAD" in capsys.readouterr().out


def test_what_does_not_arrive_is_told(
    door: Door, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "PATIENCE_S", 0.0)
    door.redriving = [1]
    assert redrive.main(["--all"]) == 1
    assert "1 have not reached their queues yet" in capsys.readouterr().out


def test_one_that_is_not_there_is_told(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead.main(["9"]) == 1
    assert capsys.readouterr().err.strip() == "no letter 9"


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (dead.main, ["x"], "must be a whole number"),
        (dead.main, ["0"], "must be a whole number"),
        (dead.main, ["--group", "x"], "is no group"),
        (dead.main, ["1", "2"], "one letter at a time"),
        (dead.main, ["1", "--group", GROUP], "not both"),
        (dead.main, ["--discard", "--reason", "junk"], "needs the ids"),
        (dead.main, ["--discard", "1"], "needs --reason"),
        (dead.main, ["--discard", "1", "--reason", " "], "needs --reason"),
        (dead.main, ["1", "--reason", "junk"], "is for --discard"),
        (redrive.main, [], "exactly one"),
        (redrive.main, ["1", "--all"], "exactly one"),
        (redrive.main, ["--group", "x"], "is no group"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    main: Any, words: list[str], said: str, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
    assert door.asked == []


@pytest.mark.parametrize(("main", "words"), [(dead.main, []), (redrive.main, ["--all"])])
def test_a_shop_that_is_away_is_told(
    main: Any, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = layout({"SHOP_GATEWAY_URL": "http://127.0.0.1:1"})
    monkeypatch.setattr(as_admin, "current_layout", lambda: nowhere)
    assert main(words) == 1
    assert "the shop does not answer" in capsys.readouterr().err
