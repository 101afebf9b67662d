"""No secret is told: not the ones of this process, nor a password in any URL."""

import logging
import sys

import pytest

from shared import logs, masks
from shared.masks import keep_secret, masked, passwords_in, says_secret


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test keeps secret is none in the next one."""
    monkeypatch.setattr(masks, "_kept", set())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("amqp://shop:hunter2@mq:5672/ is away", "amqp://shop:***@mq:5672/ is away"),
        ("mysql://:p%40ss@db/x and http://a:b@c/", "mysql://:***@db/x and http://a:***@c/"),
        ("http://127.0.0.1:8020/calls/item.get_many", "http://127.0.0.1:8020/calls/item.get_many"),
        ("https://mail@example.test/", "https://mail@example.test/"),
        ("nothing at all", "nothing at all"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, told: str) -> None:
    assert masked(text) == told


def test_what_is_kept_secret_is_masked_wherever_it_stands() -> None:
    keep_secret("correct horse", 'with "quotes"', "short")
    assert masked('x=correct horse, {"a": "with \\"quotes\\""}, short') == 'x=***, {"a": "***"}, short'


def test_passwords_are_found_as_they_are_written_and_as_they_are() -> None:
    assert passwords_in("amqp://shop:p%40ss@a/,amqp://shop:other@b/") == ["p%40ss", "other", "p@ss", "other"]


@pytest.mark.parametrize(
    "name", ["SHOP_ADMIN_PASSWORD", "pg_secret", "secret_key", "call_keys", "refresh_token", "api_key"]
)
def test_names_say_what_is_secret(name: str) -> None:
    assert says_secret(name)


@pytest.mark.parametrize(
    "name", ["access_token_s", "token_issuer", "key_lead_s", "amqp_url", "key", "user_id"]
)
def test_names_that_only_sound_like_it(name: str) -> None:
    assert not says_secret(name)


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_no_line_of_the_log_tells_one(
    style: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    logs.configure("test#1", "INFO", style)
    root.handlers[0].setStream(sys.stderr)  # type: ignore[attr-defined]
    keep_secret("correct-horse")
    logging.getLogger("library").warning("no way to amqp://shop:hunter22@mq/ with %s", "correct-horse")
    try:
        raise ValueError("correct-horse")
    except ValueError:
        logging.getLogger("library").exception("failed")
    told = capsys.readouterr().err
    assert "no way to" in told
    assert "ValueError" in told
    assert "hunter22" not in told
    assert "correct-horse" not in told
