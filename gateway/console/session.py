"""Who is signed in to the console: a cookie that holds the tokens, so that any gateway process knows it.

The cookie is for this site alone (SameSite=Strict) and out of reach of scripts (HttpOnly). Whatever acts
needs a form that we rendered for this session (`form_token`), from a page of this origin.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

import jwt
import msgspec
from litestar import Request
from litestar.datastructures import Cookie
from msgspec import Struct

from gateway.door.guards import door_of
from shared.errors import Forbidden, Unauthorized
from shared.ids import new_id
from shared.rpc import Rpc
from user_svc.contracts import Refresh, Tokens

COOKIE = "sagamart_console"
PATH = "/console"
LONGEST_COOKIE = 4096
RENEW_BEFORE_S = 60.0
"""An access token with less life left is renewed first, so that what begins with it can also end with it."""
REMEMBERED_S = 60.0
MOST_REMEMBERED = 1000


class Session(Struct, frozen=True):
    """A signed-in operator; `secret` is the same for as long as one sign-in lasts."""

    secret: str
    email: str
    access_token: str
    refresh_token: str

    @property
    def form_token(self) -> str:
        """What every form of this session carries, and no other site can know."""
        return hashlib.sha256(f"form {self.secret}".encode()).hexdigest()

    def cookie(self, *, secure: bool) -> Cookie:
        """The cookie that this session is."""
        value = base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")
        return _cookie(value, secure=secure)


def begin(email: str, tokens: Tokens) -> Session:
    """The session of somebody who has just signed in."""
    return Session(secrets.token_urlsafe(24), email, tokens.access_token, tokens.refresh_token)


def ended(*, secure: bool) -> Cookie:
    """What makes a browser forget its session."""
    cookie = _cookie("", secure=secure)
    cookie.max_age = 0
    return cookie


def _cookie(value: str, *, secure: bool) -> Cookie:
    return Cookie(COOKIE, value=value, path=PATH, httponly=True, samesite="strict", secure=secure)


def read(cookie: str | None) -> Session | None:
    """The session in a cookie; None where there is none that can be read."""
    if not cookie or len(cookie) > LONGEST_COOKIE:
        return None
    try:
        padded = cookie + "=" * (-len(cookie) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Session)
    except (ValueError, msgspec.DecodeError):
        return None


class Renewals:
    """Renews sessions whose access token is at its end; one per process.

    A refresh token works once, and its second use ends the sign-in. A page and its stream may ask at the same
    moment with the same one: both then get what the first of them got, from another process as well.
    """

    def __init__(self) -> None:
        self._renewed: dict[str, tuple[float, Tokens]] = {}
        self._one_by_one = asyncio.Lock()

    async def renew(self, rpc: Rpc, session: Session) -> Session:
        """The session with its next pair of tokens. Raises `Unauthorized` when it is over."""
        used = session.refresh_token
        async with self._one_by_one:
            self._forget()
            if used not in self._renewed:
                tokens = await rpc.call(Refresh(request_id=new_id(), refresh_token=used))
                self._renewed[used] = time.monotonic(), tokens
            tokens = self._renewed[used][1]
        return msgspec.structs.replace(
            session, access_token=tokens.access_token, refresh_token=tokens.refresh_token
        )

    def _forget(self) -> None:
        """In the order in which they came, so the first that is still young ends it."""
        oldest = time.monotonic() - REMEMBERED_S
        for token, (at, _) in list(self._renewed.items()):
            if at > oldest and len(self._renewed) < MOST_REMEMBERED:
                return
            del self._renewed[token]


def is_ending(access_token: str) -> bool:
    """Whether an access token is about to expire by its own word; who it names is checked elsewhere."""
    try:
        claims = jwt.decode(access_token, options={"verify_signature": False})
        return float(claims["exp"]) < time.time() + RENEW_BEFORE_S
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return False


async def identify(request: Request[Any, Any, Any], renewals: Renewals) -> tuple[Session, bool]:
    """Who asks: their session, and whether its tokens are new and the browser must be given them.

    Raises `Unauthorized` for nobody. What the user's roles allow is looked at afterwards.
    """
    session = read(request.cookies.get(COOKIE))
    if session is None:
        raise Unauthorized("Sign in first.")
    renewed = is_ending(session.access_token)
    if renewed:
        session = await renewals.renew(request.app.state["rpc"], session)
    user = await door_of(request.app).tokens.user(f"Bearer {session.access_token}")
    request.scope["user"] = user
    return session, renewed


def check_origin(request: Request[Any, Any, Any]) -> None:
    """Refuse a form that a page of another site sent.

    Browsers say where a form comes from: by `Sec-Fetch-Site`, older ones by `Origin`. Other clients say
    neither, and carry no cookie that somebody else could abuse.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if site is not None:
        fine = site in {"same-origin", "none"}
    else:
        fine = origin is None or origin.partition("://")[2] == host
    if not fine:
        raise Forbidden("This form was sent from another site.")


def check_form(session: Session, token: str) -> None:
    """Refuse a form that we did not render for this session."""
    if not hmac.compare_digest(session.form_token.encode(), token.encode()):
        raise Forbidden("This form is not from your session: load the page again and repeat it.")
