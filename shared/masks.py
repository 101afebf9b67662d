"""What must not be told: secrets in what goes to a log, an error or a page."""

import json
import re
from urllib.parse import unquote

MASK = "***"
_IN_URL = re.compile(r"(://[^\s:/@]*:)[^\s/@]+(?=@)")
_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s/@]+)@")
_SAYS_SECRET = re.compile(
    r"(?:password|passwd|secret|token|authorization|cookie|(?:private|call|api|secret|payment)_keys?)$"
)
_LEAST_LETTERS = 8
"""A shorter one stands by chance in what is no secret, and masking it would tell what it is."""

_kept: set[str] = set()


def keep_secret(*secrets: str) -> None:
    """Mask these texts wherever this process tells of something, from now on."""
    for secret in secrets:
        if len(secret) >= _LEAST_LETTERS:
            _kept.update((secret, json.dumps(secret)[1:-1]))


def masked(text: str) -> str:
    """The text without the secrets of this process, and without the passwords in URLs."""
    for secret in _kept:
        if secret in text:
            text = text.replace(secret, MASK)
    return _IN_URL.sub(rf"\1{MASK}", text) if "://" in text else text


def passwords_in(text: str) -> list[str]:
    """The passwords in the URLs of a text, as they stand there and as they are."""
    written = _PASSWORD.findall(text)
    return [*written, *map(unquote, written)]


def says_secret(name: str) -> bool:
    """Whether a field or setting of this name holds a secret."""
    return _SAYS_SECRET.search(name.lower()) is not None
