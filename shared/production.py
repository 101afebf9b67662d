"""What a start in production refuses: secrets that everybody knows, and secrets that are missing."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

ENVIRONMENTS = ("local", "production")

_KNOWN = frozenset(
    {
        *("guest", "shop", "sagamart", "sagamart-admin", "sagamart-buyer", "sagamart-pg", "admin", "root"),
        *("mysql", "rabbitmq", "verify", "migrate", "password", "secret", "changeme", "change-me"),
        *("default", "test", "12345678"),
    }
)
"""The defaults of local runs, of the servers, and what people write who mean to come back."""
_SIGN_IN = re.compile(r"://(?:(?P<user>[^\s/:@]*)(?::(?P<password>[^\s/@]*))?@)?")


def check_environment(text: str) -> None:
    """Raises ValueError for what is none of them."""
    if text not in ENVIRONMENTS:
        raise ValueError(f"Expected {' or '.join(f'`{one}`' for one in ENVIRONMENTS)}")


def is_known(secret: str, user: str = "") -> bool:
    """Whether a secret is no secret: empty, a default, or the user's name."""
    return not secret or secret.lower() in _KNOWN or secret == user


def unsafe_url(variable: str, url: str) -> Iterator[str]:
    """What is wrong with the sign-in of a setting that holds URLs; at most one complaint."""
    for found in _SIGN_IN.finditer(url):
        user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
        if user == "guest" or is_known(password, user):
            who = f"{user!r} with one that is known" if user else "nobody"
            yield f"{variable}: Expected a user with a password of its own, not {who}"
            return


def unsafe_secret(variable: str, secret: str, what: str) -> Iterator[str]:
    """What is wrong with a setting that holds a secret; at most one complaint."""
    if is_known(secret):
        yield f"{variable}: Expected {what}, not {'none' if not secret else 'the default of local runs'}"
