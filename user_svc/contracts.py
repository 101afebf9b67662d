"""What the user service publishes and answers."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Audited, Call, Event, KeptOf

UserNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Role = Literal["customer", "support", "catalogue", "finance", "admin"]
OldRole = Literal["customer", "admin"]
"""What the single field `role` says, for who reads no `roles`: admin if that is among them."""
NotificationKind = Literal[
    "order_failed", "order_cancelled", "order_expired", "payment_refunded", "payment_partly_refunded"
]
PageLimit = Annotated[int, Meta(ge=1, le=200)]
Place = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A place in a list by id; 0 is before all."""


class UserAudited(Audited, name="user.audited", subject="target"):
    """Somebody of the shop did something to a user."""


class UserRegistered(Event, name="user.registered", subject="user_id"):
    """A user has signed up, has a point account and may sign in."""

    user_id: int


class UserRegistrationFailed(Event, name="user.registration_failed", subject="user_id"):
    """A sign-up was undone; this user id never comes to life and is never given again."""

    user_id: int


class UserNotified(Event, name="user.notified", subject="order_id"):
    """A user has a new notification."""

    user_id: int
    order_id: UUID
    kind: NotificationKind


class TokensEnded(Event, name="user.tokens_ended", subject="user_id"):
    """Access tokens of a user do not count any more, though they have not expired.

    Those of the sign-in `session_id`; without one, all of a generation before `below`. Heard too late or not
    at all, it is found by asking (`GetKeys`).
    """

    user_id: int
    session_id: UUID | None
    below: int


class UserErased(Event, name="user.erased", subject="user_id"):
    """A user has had the account deleted: whoever keeps something personal erases it.

    Told once more a day later, for what was under way. The number is never given again.
    """

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
    role: OldRole
    roles: list[Role] = []  # none only from a service that is older than roles are
    email_proven: bool = False


class UserEntry(Struct, frozen=True, kw_only=True):
    """A user as an admin sees it in the list; one who is OPENING cannot sign in yet."""

    id: int
    email: str
    name: str
    role: OldRole
    roles: list[Role] = []  # none only from a service that is older than roles are
    state: Literal["OPENING", "ACTIVE", "ERASED"]
    created_at: datetime


class UserPage(Struct, frozen=True, kw_only=True):
    """A page of users by rising id; `next` continues after its last one."""

    items: list[UserEntry]
    next: int | None


class KnownUsers(Struct, frozen=True, kw_only=True):
    """Those of some users who exist, by rising id."""

    ids: list[int]


class Notification(Struct, frozen=True, kw_only=True):
    """Something that a buyer is told of: an order's failure (with its reason) or a refund (with its amount).

    There is at most one about an order's failure, and one for each refund. `text` says it for people.
    """

    id: int
    kind: NotificationKind
    order_id: UUID
    reason: str | None
    amount: int | None
    text: str
    created_at: datetime
    read_at: datetime | None


class NotificationPage(Struct, frozen=True, kw_only=True):
    """A page of notifications, newest first; `next` continues after its last one."""

    items: list[Notification]
    next: int | None


class NewNotifications(Struct, frozen=True, kw_only=True):
    """Notifications after a place, oldest first, and the place after them."""

    items: list[Notification]
    last: int


class PublicKey(Struct, frozen=True, kw_only=True):
    """An Ed25519 public key as a JSON Web Key (RFC 7517, RFC 8037)."""

    kid: str
    x: str
    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"


class Ended(Struct, frozen=True, kw_only=True):
    """Access tokens that do not count any more; see `TokensEnded`. `id` is its place in the list of all."""

    id: int
    user_id: int
    session_id: UUID | None
    below: int


class KeySet(Struct, frozen=True, kw_only=True):
    """Every key that a valid access token may be signed with, and the `iss` and `aud` that it names.

    `ended` lists what does not count any more though it has not expired, where that was asked for; `more`
    says that there is more of it, after the last.
    """

    issuer: str
    audience: str = ""
    keys: list[PublicKey]
    ended: list[Ended] = []
    more: bool = False


class SignIn(Struct, frozen=True, kw_only=True):
    """One sign-in: when and from which address it was begun, when it was last renewed, when it ends."""

    id: UUID
    begun_at: datetime
    client: str
    used_at: datetime | None
    expires_at: datetime


class SignInPage(Struct, frozen=True, kw_only=True):
    """A page of sign-ins, newest first; `next` continues after its last one."""

    items: list[SignIn]
    next: UUID | None


class KeyRotation(Struct, frozen=True, kw_only=True):
    """The key `kid` signs from `signs_from` on; all keys before it count until `others_end_at`."""

    kid: UUID
    signs_from: datetime
    others_end_at: datetime


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

    A used-up token that comes again within some seconds gets the same successor: an answer was lost, or two
    windows asked at once. Later it ends the whole sign-in it descends from, because one of its two holders is
    a thief. Raises `Unauthorized`.
    """

    request_id: UUID
    refresh_token: str


class Logout(Call[None], name="user.logout", idempotent=True):
    """End the sign-in that a refresh token belongs to; nothing happens for one that is not known."""

    refresh_token: str


class ListSignIns(Call[SignInPage], name="user.sign_ins", idempotent=True):
    """A user's sign-ins, newest first, after (that is, older than) the one with the id `after`."""

    user_id: UserNumber
    limit: PageLimit = 50
    after: UUID | None = None


class EndSignIn(Call[None], name="user.end_sign_in", idempotent=True):
    """End one of a user's sign-ins, with its access tokens. Raises `NotFound`."""

    user_id: UserNumber
    session_id: UUID


class AskPasswordReset(Call[None], name="user.ask_password_reset", idempotent=True):
    """Mail a one-time token to the user of an address; the same happens to be seen where there is none.

    `client` is the network address of who asks; letters are counted by it. Raises `TooMany`.
    """

    email: str
    client: str = ""


class ResetPassword(Call[None], name="user.reset_password"):
    """Set a new password with the token of a letter, and end all sign-ins. Raises `RuleBroken`."""

    token: str
    password: str


class AskEmailProof(Call[None], name="user.ask_email_proof", idempotent=True):
    """Mail a one-time token to the user of an address, who proves with it to read it. As for the reset."""

    email: str
    client: str = ""


class ProveEmail(Call[None], name="user.prove_email"):
    """The token of such a letter has come back; a new address becomes the account's.

    Raises `RuleBroken` for a token that does not count, `Conflict` where the address is another's by now.
    """

    token: str


class EraseMe(Call[None], name="user.erase_me", idempotent=True):
    """Delete one's account, which needs its password; everywhere else it is done within seconds, by an event.

    `client` is the network address that the user comes from; wrong passwords are counted by it. Raises
    `RuleBroken`, `NotFound`, `TooMany`, and `Conflict` while orders are under way and for staff.
    """

    user_id: UserNumber
    password: str
    client: str = ""


class ExportUser(Call[KeptOf], name="user.export_user", idempotent=True):
    """What this service keeps of a user, for the user."""

    user_id: int


class GetMe(Call[Profile], name="user.me", idempotent=True):
    """One user's own profile. Raises `NotFound`."""

    user_id: UserNumber


class ChangeMe(Call[Profile], name="user.change_me", idempotent=True):
    """Change what is given of one's own profile; a new password needs the current one, and ends all sign-ins.

    A new `email` needs it too, and becomes the account's once it is proven (`ProveEmail`).

    `client` is the network address that the user comes from; wrong passwords are counted by it. Harmless to
    repeat. Raises `RuleBroken` (with the bad fields), `NotFound`, `Conflict` and `TooMany`.
    """

    user_id: UserNumber
    name: str | None = None
    address: str | None = None
    password: str | None = None
    current_password: str | None = None
    client: str = ""
    email: str | None = None


class SetRoles(Call[UserEntry], name="user.set_roles", idempotent=True):
    """Give a user exactly these roles: tokens that name others end within seconds. Harmless to repeat.

    Raises `NotFound`, `RuleBroken` for a role given twice, `Conflict` where no admin would be left.
    """

    user_id: UserNumber
    roles: Annotated[list[Role], Meta(min_length=1, max_length=5)]
    by: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """0: somebody who operates the shop, and has no user of their own."""


class ListUsers(Call[UserPage], name="user.list", idempotent=True):
    """All users by rising id, after the id `after`."""

    limit: PageLimit = 50
    after: Place | None = None


class FindUsers(Call[KnownUsers], name="user.find", idempotent=True):
    """Which of some users exist, and may sign in."""

    ids: Annotated[list[UserNumber], Meta(min_length=1, max_length=1000)]


class ListNotifications(Call[NotificationPage], name="user.notifications", idempotent=True):
    """A user's notifications, newest first, after (that is, older than) the one with the id `after`."""

    user_id: UserNumber
    limit: PageLimit = 50
    after: UserNumber | None = None


class FollowNotifications(Call[NewNotifications], name="user.follow_notifications", idempotent=True):
    """A user's notifications since `after`, a place in their list; without it none, but today's place."""

    user_id: UserNumber
    limit: PageLimit = 50
    after: Place | None = None


class ReadNotification(Call[Notification], name="user.read_notification", idempotent=True):
    """Mark a user's notification as read; once more changes nothing. Raises `NotFound`."""

    user_id: UserNumber
    notification_id: UserNumber


class RotateKeys(Call[KeyRotation], name="user.rotate_keys", idempotent=True):
    """Sign with a new key from shortly on, without signing anybody out. Idempotent by `request_id`."""

    request_id: UUID


class GetKeys(Call[KeySet], name="user.jwks", idempotent=True):
    """The public keys to check access tokens with. A `kid` that is not among them: ask again, once.

    `ended_after` asks as well for what does not count any more, after that place; 0 for all of it. Places are
    given before they can be seen: one that is a minute old is a safe one to ask from.
    """

    ended_after: Place | None = None
