"""The databases' users get the passwords that files say, and no others can be mistaken for them."""

from pathlib import Path

import pymysql
import pytest

from deploy import databases
from deploy.databases import connect
from deploy.local.layout import Layout

DECLARED = '[[service]]\nname = "vault"\nports = 90\nmost = 1\ndatabase = true\n'


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One service, and a folder for secrets."""
    (tmp_path / "services.toml").write_text(DECLARED, encoding="utf-8")
    monkeypatch.setenv("SHOP_SERVICES_FILE", str(tmp_path / "services.toml"))
    return tmp_path


def test_a_user_gets_the_password_of_its_file_and_later_the_next_one(
    declared: Path, servers: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = servers.admin_url.rpartition("@")[2].rstrip("/")
    admin, own = declared / "admin", declared / "own"
    admin.write_text(f"{servers.admin_url}\n", encoding="utf-8")
    monkeypatch.setenv("SHOP_DATABASE_ADMIN_URL_FILE", str(admin))
    monkeypatch.setenv("SHOP_VAULT_SVC_DATABASE_URL_FILE", str(own))
    urls = [f"mysql://vault_svc:{password}@{place}/vault_svc" for password in ("it%27s%25s", "other")]
    for url in urls:
        own.write_text(f"{url}\n", encoding="utf-8")
        assert databases.main([]) == 0
        connect(url).close()
    with pytest.raises(pymysql.err.OperationalError):
        connect(urls[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "SHOP_DATABASE_ADMIN_URL is not set"),
        ({"SHOP_DATABASE_ADMIN_URL_FILE": "/nowhere"}, "the file cannot be read: No such file"),
        ({"SHOP_VAULT_SVC_DATABASE_URL": "mysql://root:x@y/"}, "expected mysql://vault_svc:PASSWORD@"),
        ({"SHOP_VERIFY_URL": "mysql://y"}, "expected mysql://verify:PASSWORD@"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    declared: Path,
    settings: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert databases.main([]) == 2
    assert said in capsys.readouterr().err
