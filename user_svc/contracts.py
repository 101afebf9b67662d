"""What the user service publishes and answers."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Call, Event

UserNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Role = Literal["customer", "admin"]


class UserRegistered(Event, name="user.registered", subject="user_id"):
    """A user has signed up, has a point account and may sign in."""

    user_id: int


class UserRegistrationFailed(Event, name="user.registration_failed", subject="user_id"):
    """A sign-up was undone; this user id never comes to life and is never given again."""

    user_id: int


class UserId(Struct, frozen=True, kw_only=True):
    """The id of a user."""

    id: int


class Tokens(Struct, frozen=True, kw_only=True):
    """What a sign-in gives: a short-lived access token, and the refresh token that gets the next pair.

    `expires_in` is the access token's life in seconds.
    """

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  a scheme's name, not a secret
    expires_in: int
    refresh_token: str


class Profile(Struct, frozen=True, kw_only=True):
    """A user as the user sees it."""

    id: int
    email: str
    name: str
    address: str
    role: Role


class PublicKey(Struct, frozen=True, kw_only=True):
    """An Ed25519 public key as a JSON Web Key (RFC 7517, RFC 8037)."""

    kid: str
    x: str
    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"


class KeySet(Struct, frozen=True, kw_only=True):
    """Every key that a valid access token may be signed with, and the `iss` that such a token names."""

    issuer: str
    keys: list[PublicKey]


class Register(Call[UserId], name="user.register", idempotent=True):
    """Sign up: the user and its point account come to be together, or neither does.

    Idempotent by `request_id`.

    Raises `RuleBroken` (with the bad fields), `Conflict` when the address is taken whatever its case, and
    `Unavailable` when the point account could not be opened.
    """

    request_id: UUID
    email: str
    name: str
    address: str
    password: str


class Login(Call[Tokens], name="user.login", idempotent=True):
    """Sign in. `client` is the network address that the user comes from; failed tries are counted by it.

    Raises `Unauthorized`, the same for an unknown address and a wrong password, and `TooMany`.
    """

    email: str
    password: str
    client: str = ""


class Refresh(Call[Tokens], name="user.refresh", idempotent=True):
    """The next pair of tokens for a refresh token, which is used up by it. Idempotent by `request_id`.

    A used-up token that comes again under another `request_id` ends the whole sign-in it descends from,
    because one of its two holders is a thief. Raises `Unauthorized`.
    """

    request_id: UUID
    refresh_token: str


class Logout(Call[None], name="user.logout", idempotent=True):
    """End the sign-in that a refresh token belongs to; nothing happens for one that is not known."""

    refresh_token: str


class GetMe(Call[Profile], name="user.me", idempotent=True):
    """One user's own profile. Raises `NotFound`."""

    user_id: UserNumber


class GetKeys(Call[KeySet], name="user.jwks", idempotent=True):
    """The public keys to check access tokens with. A `kid` that is not among them: ask again, once."""
