"""Secrets that must be read again, kept in the database so that the database alone does not tell them.

What is kept is encrypted and authenticated (Fernet: AES-128-CBC and HMAC-SHA-256) with the first of the
secrets that `SHOP_SECRET_KEY` says. What older ones have sealed can be read as long as they are said behind
it, so a new one is put in front, and the old one goes when all has been sealed anew.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.errors import Unavailable
from shared.logs import log

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

LEAST_LETTERS = 32
_SEALED = "gAAAA"
"""How all begin that was sealed, and no PEM."""


class CannotOpen(Unavailable):
    """Something was sealed with a secret that `SHOP_SECRET_KEY` does not say; this is for the log alone."""

    def __init__(self, why: str) -> None:
        super().__init__("A secret of this service cannot be read at present.")
        log.error("secrets.cannot_open", why=why)


class Sealer:
    """Seals texts and opens them. `secrets` is asked anew each time: apart by blanks, the newest first."""

    def __init__(self, secrets: Callable[[], str]) -> None:
        self._secrets = secrets
        self._text = ""
        self._keys: list[Fernet] = []

    def seal(self, text: str) -> str:
        """The text, readable by nobody without the newest secret."""
        return self._current()[0].encrypt(text.encode()).decode()

    def open(self, kept: str) -> str:
        """The text of what is kept; one that was kept before anything was sealed is as it is.

        Raises `CannotOpen`.
        """
        from cryptography.fernet import InvalidToken

        if not kept.startswith(_SEALED):
            return kept
        for key in self._current():
            try:
                return key.decrypt(kept.encode()).decode()
            except InvalidToken:
                continue
        raise CannotOpen(
            "it was sealed with a secret that is not in SHOP_SECRET_KEY; put that behind the newest one"
        )

    def is_outdated(self, kept: str) -> bool:
        """Whether it should be sealed anew: with the newest secret, or at all."""
        from cryptography.fernet import InvalidToken

        if not kept.startswith(_SEALED):
            return True
        try:
            self._current()[0].decrypt(kept.encode())
        except InvalidToken:
            return True
        return False

    def _current(self) -> "list[Fernet]":
        text = self._secrets()
        if text != self._text or not self._keys:
            from cryptography.fernet import Fernet

            self._keys = [
                Fernet(base64.urlsafe_b64encode(hashlib.sha256(one.encode()).digest()))
                for one in text.split()
            ]
            self._text = text
        if not self._keys:
            raise CannotOpen("SHOP_SECRET_KEY says no secret")
        return self._keys


def check_secrets(text: str) -> None:
    """Raises ValueError for secrets that could be guessed, without telling them."""
    if any(len(secret) < LEAST_LETTERS for secret in text.split()):
        raise ValueError(
            f"Expected random secrets of {LEAST_LETTERS} or more letters, apart by blanks, the newest first"
        )
