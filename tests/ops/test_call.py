"""`./just call`: calls by hand, over HTTP, as the operator; clear words for whatever is wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from deploy.call_keys import PUBLIC, make_call_keys, private
from deploy.local.layout import Layout, layout
from ops import call as call_command
from shared.errors import Conflict, FieldError
from shared.messages import Call
from shared.registry import answer
from shared.rpc.callers import OPERATOR
from shared.service.app import create_app
from shared.service.operators import shown
from shared.service.runtime import Runtime
from shared.service.service import Service
from shared.settings import Settings
from tests.support.ports import reserve_base
from tests.support.waiting import eventually

DECLARED = """
[[service]]
name = "echo"
ports = 90
most = 1

[[service]]
name = "away"
ports = 91
most = 1

[[service]]
name = "door"
ports = 92
most = 1
public = true
"""


class Echo(Call[dict[str, str]], name="echo.say"):
    """Says it again."""

    text: str = ""


async def say(call: Echo) -> dict[str, str]:
    """Say it again, or refuse to."""
    if call.text == "refuse":
        raise Conflict("Not twice.", errors=[FieldError("text", "has been said")])
    return {"said": call.text}


@pytest.fixture
async def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Layout]:
    """A run of one service that answers, one that is away, and one that takes no calls."""
    (tmp_path / "services.toml").write_text(DECLARED, encoding="utf-8")
    environ = {
        "SHOP_SERVICES_FILE": str(tmp_path / "services.toml"),
        "SHOP_RUN_DIR": str(tmp_path / "run"),
        "SHOP_PORT_BASE": str(reserve_base()),
    }
    at = layout(environ)
    make_call_keys(at.secrets, at.services)
    service = Service("echo", answers=(answer(say),))
    settings = Settings(call_keys=(at.secrets / PUBLIC).read_text(), peers=at.peers)
    app = create_app(service, settings, Runtime(service, settings))
    port = at.service("echo").port(at.base, 1)
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server._serve())

    async def has_started() -> bool:
        return server.started

    await eventually(has_started)
    monkeypatch.setattr(call_command, "_where", lambda: at)
    yield at
    server.should_exit = True
    await serving


async def run(*words: str) -> int:
    """The command, as a process of its own would run it."""
    return await asyncio.to_thread(call_command.main, list(words))


@pytest.mark.parametrize("name", ["say", "echo.say"])
async def test_the_answer_is_printed_as_json(
    at: Layout, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("echo", name, '{"text": "안녕"}') == 0
    shown = capsys.readouterr().out
    assert json.loads(shown[shown.index("{\n") :]) == {"said": "안녕"}  # the service is in this process, too
    assert await run("echo", name) == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("item", "say"), 2, "there is no service 'item' that takes calls; there are away, echo"),
        (("door", "say"), 2, "there are away, echo"),
        (("echo", "sing"), 1, "There is no call 'echo.sing' here; there are echo.describe, echo.say."),
        (("echo", "say", "{"), 2, "the arguments are no JSON: "),
        (("echo", "say", "[1]"), 2, "no JSON object"),
        (("echo", "say", '{"text": 1}'), 1, "Malformed request (400): echo.say: Expected `str`"),
        (("echo", "say", '{"text": "refuse"}'), 1, "Conflict (409): Not twice.\n  text: has been said"),
        (("away", "say"), 2, "the away service does not answer; `./just start away` starts it"),
    ],
)
async def test_whatever_is_wrong_is_said(
    at: Layout, words: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*words) == code
    shown = capsys.readouterr()
    assert told in shown.err
    assert not shown.out.startswith("{")


async def test_without_its_key_or_with_another_nothing_is_done(
    at: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    key = at.secrets / private(OPERATOR)
    key.write_text((at.secrets / private("echo-svc")).read_text())
    assert await run("echo", "say") == 1
    assert "echo-svc may not call echo.say" in capsys.readouterr().err
    key.unlink()
    assert await run("echo", "say") == 2
    assert "SHOP_CALL_KEY_FILE says where it is" in capsys.readouterr().err


def test_the_audit_log_is_told_no_secret() -> None:
    told = shown(
        b'{"id": 7, "email": "a@b.c", "password": "hunter2", "keys": [{"api_key": "hunter3"}], "url": "x://a:hunter4@b"}'
    )
    assert "hunter" not in told
    assert "a@b.c" not in told
    assert json.loads(told)["id"] == 7
    assert shown(b"{") == "unreadable"
    assert len(shown(json.dumps({"ids": list(range(5000))}).encode())) == 1000
