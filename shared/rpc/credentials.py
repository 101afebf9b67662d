"""Who calls over HTTP: a token (JWT, EdDSA) that the calling service signs with a key of its own.

`iss` is who calls (`item-svc`), `aud` the service that is called (`order`), `exp` until when; `sub` is the
person who had an operator's call made. Since when it counts is not said: hosts' clocks may differ.

Keys are 32 bytes in base64url, written with whose they are: the private one of a caller in its
`SHOP_CALL_KEY`, as `item-svc=KEY`, the public ones of all in everybody's `SHOP_CALL_KEYS`, as `item-svc=KEY
order-svc=KEY`. While its key is exchanged, a caller stands there twice.
"""

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from shared.clock import utc_now
from shared.errors import CallerUnknown, describe
from shared.logs import log
from shared.rpc.callers import OPERATOR

LIFE_S = 60
"""How long a token counts. It is signed anew in the middle, so one that is sent has half of this left."""
LEEWAY_S = 5
"""By how much the clocks of two hosts may differ beyond that."""

_RAW_BYTES = 32
_LONGEST = 2_000
_MOST_SEEN = 200


class Caller(NamedTuple):
    """Who made a call: a service by its `app_id`, or the operator and the `person` whom its token names."""

    name: str
    person: str | None = None

    @property
    def service(self) -> str:
        """The calling service by its name, as in `item`; `operator` for an operator."""
        return self.name.removesuffix("-svc")

    @property
    def is_operator(self) -> bool:
        """Whether a person called."""
        return self.name == OPERATOR


class Signer:
    """Signs the tokens of one caller. `key` (`item-svc=KEY`) is asked anew each time: it may be exchanged."""

    def __init__(self, key: Callable[[], str], *, person: str | None = None) -> None:
        self._key = key
        self._person = person
        self._signed: dict[str, _Signed] = {}

    def token_for(self, service: str) -> str | None:
        """A token for calls to a service, the same one until half of its time is over; None without a key."""
        key, now = self._key(), utc_now().timestamp()
        if not key:
            return None
        known = self._signed.get(service)
        if known is None or known.key != key or known.ends - now < LIFE_S / 2:
            try:
                token = self._sign(service, key, int(now) + LIFE_S)
            except ValueError as error:  # its file holds something else now
                log.error("call.key_unreadable", **describe(error))
                return None
            known = self._signed[service] = _Signed(token, key, now + LIFE_S)
        return known.token

    def _sign(self, service: str, text: str, ends: int) -> str:
        import jwt  # with `cryptography` costs megabytes, and most processes never call over HTTP
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        name, key = parse_key(text)
        claims: dict[str, Any] = {"iss": name, "aud": service, "exp": ends}
        if self._person is not None:
            claims["sub"] = self._person
        private = Ed25519PrivateKey.from_private_bytes(_raw(key))
        return jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": name})


class _Signed(NamedTuple):
    token: str
    key: str
    ends: float


class Verifier:
    """Says whose a token is, to the service that is called; `keys` is asked anew each time."""

    def __init__(self, service: str, keys: Callable[[], str]) -> None:
        self._service = service
        self._keys = keys
        self._known_text: str | None = None
        self._known: dict[str, tuple[str, ...]] = {}
        self._seen: dict[str, tuple[Caller, float]] = {}
        """Tokens that were verified, and when they end: callers send the same one with each call."""

    def caller(self, authorization: str | None) -> Caller:
        """Whose the header `Authorization` is. Raises `CallerUnknown`, which says why it counts for none."""
        if not authorization:
            raise CallerUnknown(
                "A call needs the token of the service that makes it (Authorization: Bearer TOKEN);"
                " people use ./just call SERVICE NAME JSON."
            )
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token or len(token) > _LONGEST:
            raise CallerUnknown("Authorization holds no token of a service: expected Bearer TOKEN.")
        self._read_keys()
        caller, ends = self._seen.get(token) or self._verified(token)
        if ends + LEEWAY_S < utc_now().timestamp():
            raise CallerUnknown("The token has expired.")
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[token] = caller, ends
        return caller

    def _read_keys(self) -> None:
        text = self._keys()
        if text == self._known_text:
            return
        self._known_text = text
        try:
            self._known = parse_keys(text)
        except ValueError as error:  # half a list must not shut anybody out
            log.error("call.keys_unreadable", **describe(error))
        self._seen.clear()

    def _verified(self, token: str) -> tuple[Caller, float]:
        import jwt
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            name = jwt.get_unverified_header(token).get("kid")
            for key in self._known.get(str(name), ()):
                public = Ed25519PublicKey.from_public_bytes(_raw(key))
                try:
                    claims = jwt.decode(
                        token,
                        public,
                        algorithms=["EdDSA"],
                        issuer=str(name),
                        audience=self._service,
                        # By the clock that the databases tell, which hosts have in common.
                        options={"require": ["exp", "iss", "aud"], "verify_exp": False},
                    )
                except jwt.InvalidSignatureError:
                    continue
                return Caller(str(name), claims.get("sub")), float(claims["exp"])
        except jwt.InvalidAudienceError:
            raise CallerUnknown(f"The token is not for calls to {self._service}.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise CallerUnknown("The token cannot be read.") from None
        raise CallerUnknown("The token is signed by nobody whose key is known here.")


def parse_keys(text: str) -> dict[str, tuple[str, ...]]:
    """`item-svc=KEY order-svc=KEY` as keys by caller. Raises ValueError, without telling a key."""
    keys: dict[str, tuple[str, ...]] = {}
    for word in text.split():
        name, key = parse_key(word)
        keys[name] = (*keys.get(name, ()), key)
    return keys


def parse_key(text: str) -> tuple[str, str]:
    """`item-svc=KEY` as a caller and its key. Raises ValueError, without telling the key."""
    name, _, key = text.partition("=")
    if not name or not key:
        raise ValueError("Expected a name and a key, such as item-svc=KEY")
    try:
        _raw(key)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return name, key


def public_part(text: str) -> str:
    """What everybody may know of a private `item-svc=KEY`: the same with the public key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    name, key = parse_key(text)
    raw = Ed25519PrivateKey.from_private_bytes(_raw(key)).public_key().public_bytes_raw()
    return f"{name}={base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def new_key(name: str) -> str:
    """A private `item-svc=KEY` that nobody can guess."""
    return f"{name}={base64.urlsafe_b64encode(os.urandom(_RAW_BYTES)).rstrip(b'=').decode()}"


def key_made_of(name: str, secret: str) -> str:
    """The private `item-svc=KEY` that follows from a random secret of 128 bits or more."""
    raw = hashlib.sha256(secret.encode()).digest()
    return f"{name}={base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def _raw(key: str) -> bytes:
    try:
        raw = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _RAW_BYTES:
        raise ValueError("Expected a key: 32 bytes in base64url, as 43 letters, digits, `-` and `_`")
    return raw
