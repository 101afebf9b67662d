"""Who asks: access tokens (JWT, Ed25519), checked here with the public keys of the user service."""

import asyncio
import time
from typing import Any
from weakref import WeakSet

import jwt
import msgspec

from gateway.door.ended import EndedTokens
from gateway.door.requests import User
from shared.errors import Unauthorized, Unavailable
from shared.rpc import Rpc
from user_svc.contracts import GetKeys, KeySet

ASK_EVERY_S = 20.0
"""How often the user service is asked which keys count and which tokens have ended: what it tells at once may
be lost, and 30 s after it has ended a token counts nowhere."""
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
    """Turns access tokens into users; remembers the keys, and verified tokens until they expire or end.

    Keys are fetched when they are first needed, so the gateway starts without the user service; `keep_up`
    fetches them again and again, and with them what has ended early.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._issuer = ""
        self._audience = ""
        self._ended = EndedTokens()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at = float("-inf")
        self._unanswered = False
        self._asking = asyncio.Lock()
        self._known: dict[str, tuple[User, float]] = {}
        readers.add(self)

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
            user = known[0]
        else:
            user, expires = await self._verify(token)
            self._remember(token, user, expires)
        if not self.counts(user):
            raise Unauthorized("The access token has been ended: refresh it, or sign in again.")
        return user

    def _remember(self, token: str, user: User, expires: float) -> None:
        while len(self._known) >= MOST_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token] = user, expires

    def counts(self, user: User) -> bool:
        """Whether the token that named this user has not been ended before its time."""
        return not self._ended.includes(user)

    async def keep_up(self) -> None:
        """Ask for the keys, and for what has ended."""
        async with self._asking:
            await self._ask()

    async def _verify(self, token: str) -> tuple[User, float]:
        try:
            key = await self._key(jwt.get_unverified_header(token)["kid"])
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                issuer=self._issuer,
                # A user service of before names no audience, and its tokens none.
                audience=self._audience or None,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "sub"], "verify_aud": bool(self._audience)},
            )
            # A token that was signed before users had several roles names one.
            said = {
                "id": int(claims["sub"]),
                "roles": claims["roles"] if "roles" in claims else [claims["role"]],
                "session": claims.get("sid", ""),
                "generation": claims.get("gen", 0),
            }
            user = msgspec.convert(said, User)
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
        place = self._ended.ask_from()
        try:
            answer, place = await self._ask_after(place)
            while answer.more:
                answer, place = await self._ask_after(place)
        except Unavailable:  # keys at hand go on counting: it must not sign anybody out
            self._unanswered = True
        else:
            self._unanswered = False
            self._ended.got_to(place)
            self._issuer, self._audience = answer.issuer, answer.audience
            kept = {key.kid: jwt.PyJWK(msgspec.to_builtins(key)) for key in answer.keys}
            if self._keys.keys() - kept.keys():  # nor does what a withdrawn key has signed
                self._known.clear()
            self._keys = kept
        self._asked_at = time.monotonic()

    async def _ask_after(self, place: int) -> tuple[KeySet, int]:
        """The keys and some of what has ended since a place, which is noted; and the place after it."""
        answer = await self._rpc.call(GetKeys(ended_after=place))
        for one in answer.ended:
            self._ended.note(one.user_id, str(one.session_id) if one.session_id else None, one.below)
            place = one.id
        return answer, place


readers: WeakSet[TokenReader] = WeakSet()
"""Those of this process: one, but in tests."""


async def keep_up() -> None:
    """A job: learn which keys and tokens count, so that none does for long that should not."""
    for reader in tuple(readers):
        await reader.keep_up()
