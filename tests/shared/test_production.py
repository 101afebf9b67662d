"""A start in production: what everybody knows is refused, all of it at once, and nothing is seeded."""

from pathlib import Path

import pytest

from gateway.settings import GatewaySettings
from payment_svc.settings import PaymentSettings
from shared.production import unsafe_url
from shared.rpc.credentials import new_key, public_part
from shared.settings import Settings, WrongSettings, load
from user_svc.settings import UserSettings

KEY = new_key("user-svc")
GOOD = {
    "SHOP_ENV": "production",
    "SHOP_AMQP_URL": "amqp://user-svc:Kd83hs02@mq/",
    "SHOP_DATABASE_URL": "mysql://user_svc:J2s9x0wq@db/user_svc",
    "SHOP_CALL_KEY": KEY,
    "SHOP_CALL_KEYS": public_part(KEY),
}
SECRET = {"SHOP_SECRET_KEY": "k" * 32}


def complaints(kind: type[Settings], settings: dict[str, str]) -> list[str]:
    """The settings that a start complains about."""
    with pytest.raises(WrongSettings) as refused:
        load(kind, settings)
    return [line.split(":")[0].split("=")[0].strip() for line in str(refused.value).splitlines()[1:]]


def test_defaults_are_refused_all_at_once() -> None:
    bare = {"SHOP_ENV": "production", "SHOP_DATABASE_URL": "mysql://user_svc:user_svc@db/user_svc"}
    assert complaints(UserSettings, {**bare, "SHOP_ADMIN_PASSWORD": "sagamart-admin"}) == [
        "SHOP_SECRET_KEY",
        "SHOP_AMQP_URL",
        "SHOP_DATABASE_URL",
        "SHOP_CALL_KEY",
        "SHOP_CALL_KEYS",
        "SHOP_ADMIN_PASSWORD",
    ]
    assert "SHOP_PG_SECRET" in complaints(PaymentSettings, bare)
    assert complaints(UserSettings, {**GOOD, **SECRET, "SHOP_LOG_LETTERS": "true"}) == ["SHOP_LOG_LETTERS"]


def test_a_gateway_speaks_tls_or_stands_behind_somebody_who_does() -> None:
    plain = {name: value for name, value in GOOD.items() if name != "SHOP_DATABASE_URL"}
    known = {"SHOP_MANAGEMENT_URL": "http://guest:guest@mq:15672"}
    assert complaints(GatewaySettings, {**plain, **known}) == ["SHOP_MANAGEMENT_URL", "SHOP_TRUSTED_PROXIES"]
    assert load(GatewaySettings, {**plain, "SHOP_TRUSTED_PROXIES": "10.0.0.7"}).has_secure_cookies
    assert not load(GatewaySettings, {}).has_secure_cookies


def test_good_settings_are_taken() -> None:
    assert load(UserSettings, {**GOOD, **SECRET}).env == "production"
    assert load(PaymentSettings, {**GOOD, "SHOP_PG_SECRET": "live_sk_8s7d6f"}).env == "production"


@pytest.mark.parametrize("env", ["staging", "Production", "prod", "", "test"])
def test_there_are_two_environments(env: str) -> None:
    with pytest.raises(WrongSettings, match=r"SHOP_ENV=.*Expected `local` or `production`"):
        load(Settings, {"SHOP_ENV": env})


@pytest.mark.parametrize(
    "url",
    [
        "amqp://mq/",
        "amqp://guest:Kd83hs02@mq/",
        "amqp://shop@mq/",
        "amqp://shop:@mq/",
        "amqp://shop:shop@mq/",
        "amqp://item-svc:item%2Dsvc@mq/",
        "amqp://item-svc:sagamart@mq/",
        "amqp://item-svc:Password@mq/",
        "amqp://item-svc:Kd83hs02@a/,amqp://item-svc:item-svc@b/",
    ],
)
def test_passwords_that_everybody_knows(url: str) -> None:
    [complaint] = unsafe_url("SHOP_AMQP_URL", url)
    assert complaint.startswith("SHOP_AMQP_URL: Expected")
    assert "Kd83hs02" not in complaint


def test_a_wrong_secret_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings) as refused:
        load(
            UserSettings,
            {
                "SHOP_SECRET_KEY": "hunter2",
                "SHOP_ADMIN_PASSWORD": "hunter3",
                "SHOP_CALL_KEY": "item-svc=hunter4",
                "SHOP_SMTP_URL": "ftp://a:hunter5@b",
            },
        )
    assert "hunter" not in str(refused.value)
    assert str(refused.value).count("\n") == 4


def test_a_local_start_takes_what_is_known() -> None:
    assert load(GatewaySettings, {}).env == "local"
    assert load(Settings, {"SHOP_AMQP_URL": "amqp://shop:shop@mq/"}).env == "local"
