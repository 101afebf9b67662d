"""Secrets of a run: made once, the same for all who ask, for their owner's eyes only."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.secrets import keep, secret


def test_whoever_asks_at_once_is_given_the_same_secret(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    with ThreadPoolExecutor(8) as threads:
        given = set(threads.map(lambda _: secret(folder, "broker-item-svc"), range(40)))
    assert len(given) == 1
    assert given == {secret(folder, "broker-item-svc")}
    assert secret(folder, "broker-order-svc") not in given
    assert [path.name for path in sorted(folder.iterdir())] == ["broker-item-svc", "broker-order-svc"]


def test_nobody_but_the_owner_may_read_it(tmp_path: Path) -> None:
    secret(tmp_path / "secrets", "a")
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "secrets" / "a").stat().st_mode) == 0o600


def test_a_kept_key_is_replaced_whole_and_only_where_asked(tmp_path: Path) -> None:
    keep(tmp_path, "key", "one\n")
    keep(tmp_path, "key", "two\n", replace=False)
    assert secret(tmp_path, "key") == "one\n"
    keep(tmp_path, "key", "three\n")
    assert secret(tmp_path, "key") == "three\n"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "../a", "A", ".a", "a/b", "a b"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a secret"):
        secret(tmp_path, name)
