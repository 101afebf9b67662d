"""Access tokens (JWT, EdDSA) and refresh tokens (`<session id>.<secret>`, of which only a hash is kept)."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import jwt

from shared.service import Sealer
from user_svc.domain import roles_of
from user_svc.models import SigningKey, User


class RefreshToken(NamedTuple):
    """A refresh token's two parts: the sign-in it belongs to, and what proves it."""

    session_id: UUID
    secret: str

    @property
    def text(self) -> str:
        return f"{self.session_id}.{self.secret}"

    @property
    def secret_hash(self) -> str:
        """A plain hash suffices: the secret is 256 random bits and cannot be guessed from it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def new_refresh_token(session_id: UUID) -> RefreshToken:
    """A fresh token of a session; it replaces the one before."""
    return RefreshToken(session_id, secrets.token_urlsafe(32))


def new_salt() -> str:
    """What a token and its successor have between them."""
    return secrets.token_urlsafe(32)


def successor(used: RefreshToken, salt: str) -> RefreshToken:
    """The token after a used one: always the same for the same salt, and beyond guessing without both."""
    digest = hmac.digest(salt.encode(), used.secret.encode(), "sha256")
    return RefreshToken(used.session_id, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())


def read_refresh_token(text: str) -> RefreshToken | None:
    """The parts of a token that somebody sent; None for anything that never was one."""
    session_id, _, secret = text.partition(".")
    if len(text) > 200 or not secret:
        return None
    try:
        return RefreshToken(UUID(session_id), secret)
    except ValueError:
        return None


def access_token(
    key: SigningKey,
    sealer: Sealer,
    *,
    issuer: str,
    audience: str,
    user: User,
    session_id: UUID,
    now: datetime,
    life: timedelta,
) -> str:
    """A signed statement of who the bearer is and in which roles, valid for `life` from `now`.

    `sid` and `gen` say which sign-in and which generation of the user's tokens it belongs to: when one of
    these ends, it ends with it.
    """
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": str(user.id),
        "role": user.role,  # read by gateways that are older than `roles`
        "roles": roles_of(user.roles),
        "sid": str(session_id),
        "gen": user.generation,
        "iat": now,
        "exp": now + life,
    }
    return jwt.encode(claims, sealer.open(key.private_key), algorithm="EdDSA", headers={"kid": key.kid})
