"""Who asks: access tokens (JWT, Ed25519), checked here with the public keys of the user service."""

import asyncio
import time
from typing import Any

import jwt
import msgspec

from gateway.door.requests import User
from shared.errors import Unauthorized, Unavailable
from shared.rpc import Rpc
from user_svc.contracts import GetKeys

ASK_AT_MOST_EVERY_S = 5.0
"""An unknown key id makes us ask for the keys, but not more often than this: anyone can invent key ids."""
ASK_AGAIN_S = 1.0
"""The same while the last question has gone unanswered; those who wait for one answer share it."""
KEYS_TRUSTED_S = 300.0
"""How long keys are used without asking again, so that a withdrawn key does not count for ever."""
MOST_TOKENS = 10_000
LONGEST_TOKEN = 4096
LEEWAY_S = 5
"""So far the clock of the host that signed a token may be from ours, either way."""


class TokenReader:
    """Turns access tokens into users; remembers the keys, and verified tokens until they expire.

    Keys are fetched when they are first needed, so the gateway starts without the user service.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._issuer = ""
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at = float("-inf")
        self._unanswered = False
        self._asking = asyncio.Lock()
        self._known: dict[str, tuple[User, float]] = {}

    async def user(self, authorization: str | None) -> User:
        """The user that an `Authorization` header names.

        Raises `Unauthorized` unless it is a valid token, `Unavailable` while its key may be one that
        could not be fetched yet.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN:
            raise Unauthorized("Send an access token: `Authorization: Bearer <token>`.")
        known = self._known.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
        user, expires = await self._verify(token)
        while len(self._known) >= MOST_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token] = user, expires
        return user

    async def _verify(self, token: str) -> tuple[User, float]:
        try:
            key = await self._key(jwt.get_unverified_header(token)["kid"])
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "sub"]},
            )
            user = msgspec.convert({"id": int(claims["sub"]), "role": claims["role"]}, User)
            return user, float(claims["exp"]) + LEEWAY_S
        except jwt.ExpiredSignatureError:
            raise Unauthorized("The access token has expired: refresh it, or sign in again.") from None
        except (jwt.InvalidTokenError, KeyError, ValueError):  # whatever is wrong with it, it does not count
            raise Unauthorized("The access token is not valid.") from None

    async def _key(self, key_id: str) -> jwt.PyJWK:
        """The key of this id. Raises `KeyError` where there is none, `Unavailable` where nobody can say."""
        if self._is_due(key_id):
            async with self._asking:
                if self._is_due(key_id):
                    await self._ask()
        if self._unanswered and key_id not in self._keys:
            raise Unavailable("Access tokens cannot be checked just now.")
        return self._keys[key_id]

    def _is_due(self, key_id: str) -> bool:
        age = time.monotonic() - self._asked_at
        if key_id in self._keys:
            return age > KEYS_TRUSTED_S
        return age > (ASK_AGAIN_S if self._unanswered else ASK_AT_MOST_EVERY_S)

    async def _ask(self) -> None:
        try:
            answer = await self._rpc.call(GetKeys())
        except Unavailable:  # keys at hand go on counting: it must not sign anybody out
            self._unanswered = True
        else:
            self._unanswered = False
            self._issuer = answer.issuer
            self._keys = {key.kid: jwt.PyJWK(msgspec.to_builtins(key)) for key in answer.keys}
        self._asked_at = time.monotonic()
