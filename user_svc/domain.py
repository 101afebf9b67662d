"""The rules of accounts: what may be registered, when a sign-in has to wait, what a refresh token is worth,
what a buyer is told of.

Pure: no await, no database, no clock.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, cast, get_args
from uuid import UUID

from msgspec import Struct

from shared.errors import FieldError
from user_svc.contracts import NotificationKind, OldRole, Role

EMAIL_MAX = 254
NAME_MAX = 100
ADDRESS_MAX = 300
PASSWORD_MIN, PASSWORD_MAX = 8, 128

_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def email_key(email: str) -> str:
    """What two spellings of one address have in common: addresses are compared without regard to case."""
    return email.casefold()


def registration_errors(email: str, name: str, address: str, password: str) -> list[FieldError]:
    """Every field that keeps a sign-up from being accepted, each with what is allowed."""
    errors = []
    if not _is_email(email):
        errors.append(_wrong_email())
    return errors + _profile_errors(name, address, password)


def change_errors(
    name: str | None,
    address: str | None,
    password: str | None,
    current_password: str | None,
    email: str | None = None,
) -> list[FieldError]:
    """Every field that keeps a change of a profile from being accepted; what is None stays as it is."""
    errors = _profile_errors(name, address, password)
    if email is not None and not _is_email(email):
        errors.append(_wrong_email())
    if password is not None and current_password is None:
        errors.append(FieldError("current_password", "is required to set a new password"))
    elif email is not None and current_password is None:
        errors.append(FieldError("current_password", "is required to change the e-mail address"))
    return errors


def _wrong_email() -> FieldError:
    return FieldError("email", f"Expected an address like name@example.com, at most {EMAIL_MAX} long")


def _profile_errors(name: str | None, address: str | None, password: str | None) -> list[FieldError]:
    errors = []
    if name is not None and not _is_text(name, NAME_MAX):
        errors.append(FieldError("name", f"Expected 1 to {NAME_MAX} characters, without control characters"))
    if address is not None and not _is_text(address.replace("\n", " "), ADDRESS_MAX):
        errors.append(
            FieldError("address", f"Expected 1 to {ADDRESS_MAX} characters, without control characters")
        )
    if password is not None and not is_password(password):
        errors.append(FieldError("password", f"Expected {PASSWORD_MIN} to {PASSWORD_MAX} characters"))
    return errors


def is_password(password: str) -> bool:
    """Whether this can be anybody's password: any characters, but not too few and not too many."""
    return PASSWORD_MIN <= len(password) <= PASSWORD_MAX


def password_bytes(password: str) -> bytes:
    """What of a password is hashed: keyboards differ in how they compose a letter, the letter counts."""
    return unicodedata.normalize("NFC", password).encode()


def _is_email(email: str) -> bool:
    local, at, domain = email.lower().rpartition("@")
    return bool(
        at
        and email.isascii()  # lower() makes some letters from beyond ASCII look like ASCII ones
        and len(email) <= EMAIL_MAX
        and len(local) <= 64
        and _LOCAL_PART.fullmatch(local)
        and _DOMAIN.fullmatch(domain)
    )


def _is_text(text: str, longest: int) -> bool:
    return (
        bool(text.strip()) and len(text) <= longest and not any(unicodedata.category(c) == "Cc" for c in text)
    )


# Roles ------------------------------------------------------------------------------------------------------


def kept_roles(roles: Collection[Role]) -> str:
    """Roles as they are kept, in one order whatever order they came in."""
    return ",".join(role for role in get_args(Role) if role in roles)


def roles_of(kept: str) -> list[Role]:
    """The roles that are kept so."""
    return cast(list[Role], kept.split(","))


def old_role(roles: Collection[Role]) -> OldRole:
    """What the single field says that was there before users could have several roles."""
    return "admin" if "admin" in roles else "customer"


# Sign-ins that fail -----------------------------------------------------------------------------------------


class Failures(Struct, frozen=True):
    """How often signing in has failed, and when last; of counts within a time, when that began."""

    count: int
    last_at: datetime


def throttle_key(email: str, client: str) -> str:
    """The key that failures are counted under; hashed, since both parts are of any length and content."""
    return hashlib.sha256(f"{email_key(email)}\n{client}".encode()).hexdigest()


def client_key(client: str) -> str:
    """The key that failures from one client at all accounts are counted under."""
    return _key(b"client", client)


def account_key(email: str) -> str:
    """The key that failures at one account from all clients are counted under."""
    return _key(b"account", email_key(email))


def known_client_key(user_id: int, client: str) -> str:
    """What stands for a client from which a user has signed in."""
    return _key(b"known", f"{user_id}\n{client}")


def _key(kind: bytes, text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32, person=kind).hexdigest()


def seconds_to_wait(failures: Failures | None, now: datetime, limit: int, pause: timedelta) -> int:
    """Whole seconds until the next try is heard; 0 if it may be made now."""
    if failures is None or failures.count < limit:
        return 0
    return max(0, math.ceil((failures.last_at + pause - now).total_seconds()))


def one_more_within(failures: Failures | None, now: datetime, pause: timedelta) -> Failures:
    """The count after another failure; it begins anew so long after its first, for many share it."""
    if failures is None or failures.count == 0 or failures.last_at + pause <= now:
        return Failures(1, now)
    return Failures(failures.count + 1, failures.last_at)


def one_more_failure(failures: Failures | None, now: datetime, pause: timedelta) -> Failures:
    """The count after another failure; it begins anew after a pause without any."""
    if failures is None or failures.last_at + pause <= now:
        return Failures(1, now)
    return Failures(failures.count + 1, now)


# Refresh tokens ---------------------------------------------------------------------------------------------


class Session(Struct, frozen=True, kw_only=True):
    """One sign-in and the refresh token that stands for it now.

    Tokens that descend from one sign-in share its id; only hashes of their secrets are kept: that of the
    valid one, and that of the one before it with the request that used it up, and when.
    """

    id: UUID
    user_id: int
    secret_hash: str
    previous_hash: str | None
    rotated_by: UUID | None
    rotated_at: datetime | None
    successor_salt: str | None
    expires_at: datetime


class RefreshVerdict(Enum):
    """What is to be done with a refresh token."""

    RENEW = "renew"
    """It is the valid one."""
    REPEAT = "repeat"
    """It was used a moment ago: the answer was lost, or its owner asked twice at once. It gets the same."""
    END = "end"
    """It was used up before: either its user or somebody else holds a stolen copy, so nobody may go on."""
    REFUSE = "refuse"


def judge_refresh(
    session: Session | None, presented_hash: str, request_id: UUID, now: datetime, grace: timedelta
) -> RefreshVerdict:
    """What a presented refresh token is worth; `session` is the one that it names, if there is one.

    Within `grace` of its use a used one is taken for a repetition, and so is the same request at any time.
    """
    if session is None or session.expires_at <= now:
        return RefreshVerdict.REFUSE
    if presented_hash == session.secret_hash:
        return RefreshVerdict.RENEW
    if presented_hash != session.previous_hash or not session.successor_salt or not session.rotated_at:
        return RefreshVerdict.END
    repeated = request_id == session.rotated_by or now <= session.rotated_at + grace
    return RefreshVerdict.REPEAT if repeated else RefreshVerdict.END


# Notifications ----------------------------------------------------------------------------------------------

_BECAUSE = {
    "out_of_stock": "there are not enough pieces left",
    "price_changed": "a price has changed",
    "item_unknown": "an item is not sold any more",
    "coupon_invalid": "a coupon cannot be used",
    "discount_mismatch": "a discounted price was not right",
    "insufficient_points": "there were not enough points",
    "card_declined": "the card was declined",
    "timeout": "it could not be finished in time",
    "payment_kept": "the shop has decided on its payment, and keeps it",
}
MOST_TRIES = 12


class News(Struct, frozen=True, kw_only=True):
    """What a user is to be told of."""

    user_id: int
    order_id: UUID
    kind: NotificationKind
    reason: str | None = None
    amount: int | None = None
    part: str = ""
    """Tells several of a kind for one order apart."""


def failure(user_id: int, order_id: UUID, reason: str) -> News:
    """The news of an order that came to nothing.

    The kind follows from the reason alone: the order's failure and the later end of it are one piece of news,
    whichever is heard of first.
    """
    kind: NotificationKind = "order_failed"
    if reason == "payment_expired":
        kind = "order_expired"
    elif reason.startswith("cancelled_by_"):
        kind = "order_cancelled"
    return News(user_id=user_id, order_id=order_id, kind=kind, reason=reason)


def refund(user_id: int, order_id: UUID, payment_id: UUID, amount: int) -> News:
    """The news that what was left of a payment was given back."""
    return News(
        user_id=user_id, order_id=order_id, kind="payment_refunded", amount=amount, part=str(payment_id)
    )


def refund_in_part(user_id: int, order_id: UUID, payment_id: UUID, amount: int, refunded: int) -> News:
    """The news of one refund in part: those of a payment differ in the sum refunded by then."""
    part = f"{payment_id}/{refunded}"
    return News(user_id=user_id, order_id=order_id, kind="payment_partly_refunded", amount=amount, part=part)


def subject(kind: NotificationKind) -> str:
    """A notification in a few words."""
    return {
        "order_failed": "Your order could not be fulfilled",
        "order_cancelled": "Your order was cancelled",
        "order_expired": "Your order was not paid in time",
        "payment_refunded": "Your payment was refunded",
        "payment_partly_refunded": "A part of your payment was refunded",
    }[kind]


def text(news: News) -> str:
    """A notification in a sentence or two."""
    order = f"order {news.order_id}"
    if news.kind == "payment_refunded":
        return f"Your payment for {order} was refunded: {news.amount or 0:,} won."
    if news.kind == "payment_partly_refunded":
        return f"A part of your payment for {order} was refunded: {news.amount or 0:,} won."
    if news.kind == "order_expired":
        return f"Your {order} was not paid in time, so it was given up."
    if news.kind == "order_cancelled":
        by = " by the shop" if news.reason == "cancelled_by_admin" else ""
        return f"Your {order} was cancelled{by}."
    because = _BECAUSE.get(news.reason or "")
    return f"Your {order} could not be fulfilled" + (f": {because}." if because else ".")


# Letters about accounts -------------------------------------------------------------------------------------

MailingKind = Literal["reset", "proof", "change", "moved"]
"""A forgotten password, the proof of an address, of a new one, and the notice to the one before it."""


def letter_subject(kind: MailingKind) -> str:
    """A letter about an account in a few words."""
    return {
        "reset": "Set a new password",
        "proof": "Confirm your address",
        "change": "Confirm your new address",
        "moved": "Your address was changed",
    }[kind]


def letter_text(kind: MailingKind, token: str, link: str) -> str:
    """The letter: where to go with the token, by a link where the shop has pages for that."""
    if kind == "moved":
        return (
            "Your account now has another e-mail address. If that was not you, set a new password"
            " and tell the shop at once."
        )
    page = "password-reset" if kind == "reset" else "email-proof"
    where = link.replace("{page}", page).replace("{token}", token) if link else f"POST /users/{page}\n{token}"
    what = {
        "reset": "Somebody, probably you, wants to set a new password for your account:",
        "proof": "Confirm that you read this address:",
        "change": "Confirm that this is to be the address of your account:",
    }[kind]
    return f"{what}\n\n{where}\n\nIt works once, and not for long. If it was not you, do nothing."


def next_try(attempts: int) -> timedelta | None:
    """How long to wait after so many tries to send something; None if it is time to give up.

    Half a minute, doubling up to an hour: a receiver that is away for half a day still gets it.
    """
    if attempts >= MOST_TRIES:
        return None
    return timedelta(seconds=min(30 * 2 ** min(attempts - 1, 10), 3600))
