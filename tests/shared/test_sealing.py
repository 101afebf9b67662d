"""Secrets in the database: nobody reads them without the secret of the service, and that can be exchanged."""

from pathlib import Path

import pytest

from shared.sealing import CannotOpen, Sealer, check_secrets
from shared.settings import Current

OLD, NEW = "o" * 40, "n" * 40
PEM = "-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----\n"


def test_what_is_sealed_can_be_opened_and_tells_nothing() -> None:
    sealer = Sealer(lambda: OLD)
    sealed = sealer.seal(PEM)
    assert sealer.open(sealed) == PEM
    assert "PRIVATE" not in sealed
    assert sealer.seal(PEM) != sealed
    assert not sealer.is_outdated(sealed)


def test_what_was_kept_in_clear_is_as_it_is_and_outdated() -> None:
    sealer = Sealer(lambda: OLD)
    assert sealer.open(PEM) == PEM
    assert sealer.is_outdated(PEM)


def test_another_secret_opens_nothing_and_neither_does_what_was_tampered_with() -> None:
    sealed = Sealer(lambda: OLD).seal(PEM)
    for secrets, kept in ((NEW, sealed), ("", sealed), (OLD, sealed[:-6] + "AAAAA="), (OLD, sealed[:20])):
        with pytest.raises(CannotOpen):
            Sealer(lambda secrets=secrets: secrets).open(kept)


def test_secrets_are_exchanged_while_the_service_runs(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{OLD}\n")
    sealer = Sealer(Current("KEY", OLD, {"KEY_FILE": str(file)}))
    old = sealer.seal(PEM)
    file.write_text(f"{NEW} {OLD}\n")
    assert sealer.open(old) == PEM
    assert sealer.is_outdated(old)
    new = sealer.seal(sealer.open(old))
    assert not sealer.is_outdated(new)
    file.write_text(NEW)
    assert sealer.open(new) == PEM
    with pytest.raises(CannotOpen):
        sealer.open(old)


def test_secrets_that_can_be_guessed_are_refused_without_telling_them() -> None:
    check_secrets(f"{NEW} {OLD}")
    with pytest.raises(ValueError, match="32 or more") as refused:
        check_secrets(f"{NEW} hunter2")
    assert "hunter2" not in str(refused.value)
