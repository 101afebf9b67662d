"""Settings: read from the environment, and all wrong ones told at once."""

from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from shared import crash
from shared.settings import Settings, WrongSettings, load


class Own(Settings, frozen=True, kw_only=True):
    """A service's own settings beside the platform's."""

    patience_s: Annotated[float, Meta(gt=0)] = 30.0
    cards: bool = False


def test_defaults_need_no_environment():
    settings = load(Own, {})
    assert settings.patience_s == 30.0
    assert settings.retry_delays == (5.0, 30.0, 300.0)
    assert settings.database_url is None


def test_values_are_read_as_their_types():
    settings = load(
        Own,
        {
            "SHOP_PATIENCE_S": "2.5",
            "SHOP_CARDS": "true",
            "SHOP_INSTANCE": "3",
            "SHOP_RETRY_DELAYS_S": "0.5, 2",
            "SHOP_PEERS": "item=http://127.0.0.1:8020-8028",
            "SHOP_PUBLIC_PORT": "8000",
            "SHOP_CRASH_AT": "consumer.before_ack",
            "SHOP_SOMETHING_ELSE": "is not ours",
        },
    )
    assert (settings.patience_s, settings.cards, settings.instance) == (2.5, True, 3)
    assert settings.retry_delays == (0.5, 2.0)
    assert settings.public_port == 8000


def test_all_wrong_settings_are_listed_at_once():
    wrong = {
        "SHOP_PATIENCE_S": "-1",
        "SHOP_CARDS": "perhaps",
        "SHOP_INSTANCE": "0",
        "SHOP_SERVICE_PORT": "99999",
        "SHOP_PUBLIC_PORT": "0",
        "SHOP_RPC_TIMEOUT_S": "inf",
        "SHOP_OUTBOX_POLL_S": "nan",
        "SHOP_RETRY_DELAYS_S": "5,soon",
        "SHOP_PEERS": "item",
        "SHOP_CRASH_AT": "anywhere",
        "SHOP_LOG_FORMAT": "xml",
        "SHOP_LOG_LEVEL": "LOUD",
    }
    with pytest.raises(WrongSettings) as raised:
        load(Own, wrong)
    told = str(raised.value)
    for name, value in wrong.items():
        assert f"{name}={value!r}" in told
    assert told.count("\n") == len(wrong)
    assert "consumer.before_ack" in told  # what is allowed


def test_any_setting_may_stand_in_a_file(tmp_path: Path):
    url, patience = tmp_path / "url", tmp_path / "patience"
    url.write_text("mysql://order_svc:a b@database/order_svc\n")
    patience.write_text("2.5")
    settings = load(Own, {"SHOP_DATABASE_URL_FILE": str(url), "SHOP_PATIENCE_S_FILE": str(patience)})
    assert settings.database_url == "mysql://order_svc:a b@database/order_svc"
    assert settings.patience_s == 2.5


def test_what_is_wrong_with_a_file_is_told_without_what_it_holds(tmp_path: Path):
    secret, binary = tmp_path / "secret", tmp_path / "binary"
    secret.write_text("hunter2")
    binary.write_bytes(b"\xff\xfe")
    wrong = {
        "SHOP_PATIENCE_S_FILE": str(secret),
        "SHOP_RETRY_DELAYS_S_FILE": str(secret),
        "SHOP_LOG_LEVEL_FILE": str(secret),
        "SHOP_CARDS_FILE": str(tmp_path / "missing"),
        "SHOP_AMQP_URL_FILE": str(binary),
        "SHOP_DATABASE_URL_FILE": str(tmp_path),
        "SHOP_INSTANCE_FILE": str(secret),
        "SHOP_INSTANCE": "1",
    }
    with pytest.raises(WrongSettings) as raised:
        load(Own, wrong)
    told = str(raised.value)
    assert "hunter2" not in told
    assert [name for name in wrong if f"{name}=" not in told] == ["SHOP_INSTANCE"]
    assert told.count("\n") == len(wrong) - 1
    assert "No such file" in told
    assert "not text in UTF-8" in told
    assert "expected one of the two" in told


@pytest.mark.parametrize("delays", ["", "5,,30", "0", "-1", "nan", "inf", "5;30"])
def test_retry_delays_are_positive_seconds(delays: str):
    with pytest.raises(WrongSettings, match="such as 5,30,300"):
        load(Settings, {"SHOP_RETRY_DELAYS_S": delays})


def test_crash_points_have_names():
    with pytest.raises(
        SystemExit, match=r"outbox\.after_commit, outbox\.after_publish, consumer\.before_ack"
    ):
        crash.arm("nowhere")
    crash.arm("")
    for point in crash.POINTS:
        crash.here(point)  # disarmed: nobody dies
