"""Profiles: one's own, to look at and to change, and everybody's, for admins and other services."""

from typing import Literal, cast

from tortoise.queryset import QuerySet

from shared.database import Database, Reader, Transaction, page
from shared.errors import Conflict, FieldError, NotFound, RuleBroken
from user_svc import domain, mailings, sessions
from user_svc.contracts import (
    ChangeMe,
    FindUsers,
    GetMe,
    KnownUsers,
    ListUsers,
    Profile,
    UserEntry,
    UserPage,
)
from user_svc.models import User
from user_svc.passwords import hash_password, verify
from user_svc.settings import UserSettings
from user_svc.throttle import Throttle

MOST_LOOKS = 3


async def get_me(call: GetMe, db: Reader) -> Profile:
    """A user's own profile."""
    user = await _active(call.user_id).using_db(db.models).get_or_none()
    if user is None:
        raise _missing()
    return _profile(user)


async def change_me(call: ChangeMe, db: Database, settings: UserSettings) -> Profile:
    """Change what is given. A new password ends all sign-ins, those of a thief among them.

    A sign-in at the same time may make the same password's hash anew: then it is checked once more.
    """
    if errors := domain.change_errors(
        call.name, call.address, call.password, call.current_password, call.email
    ):
        raise RuleBroken("Some fields cannot be accepted.", errors=errors)
    for _ in range(MOST_LOOKS):
        if changed := await _look_and_change(call, db, settings):
            return changed
    raise Conflict("The password was changed in the meantime.")


async def _look_and_change(call: ChangeMe, db: Database, settings: UserSettings) -> Profile | None:
    """One try; None if the password's hash has changed since it was checked."""
    proven = call.password is not None or call.email is not None
    old_hash = await _checked_hash(call, db, settings) if proven else None
    new_hash = await hash_password(call.password, settings) if call.password and old_hash else None

    async def change(tx: Transaction) -> Profile | None:
        user = await _active(call.user_id).using_db(tx.models).select_for_update().get_or_none()
        if user is None:
            raise _missing()
        if old_hash and user.password_hash != old_hash:
            return None
        user.name = user.name if call.name is None else call.name.strip()
        user.address = user.address if call.address is None else call.address.strip()
        user.password_hash = new_hash or user.password_hash
        await user.save(using_db=tx.models, update_fields=["name", "address", "password_hash"])
        if new_hash:
            await mailings.forget_tokens(tx, call.user_id)
            await sessions.end_sessions(tx, call.user_id)
        if call.email is not None:
            await mailings.ask(tx, "change", call.email, client=call.client, user_id=call.user_id)
        return _profile(user)

    return await db.transaction(change)


async def list_users(call: ListUsers, db: Reader) -> UserPage:
    """A page of all users."""
    query = User.filter(id__gt=call.after or 0).using_db(db.models).order_by("id")
    users, more = await page(call.limit, query.limit, key=lambda user: user.id)
    return UserPage(items=[entry(user) for user in users], next=more)


async def find_users(call: FindUsers, db: Reader) -> KnownUsers:
    """Those who may sign in. One who is OPENING may yet be undone, and does not count."""
    users = User.filter(id__in=sorted(set(call.ids)), state="ACTIVE").using_db(db.models)
    return KnownUsers(ids=[user.id for user in await users.only("id").order_by("id")])


async def _checked_hash(call: ChangeMe, db: Database, settings: UserSettings) -> str | None:
    """The hash that the current password was checked against; None where the new one is set already.

    Raises `RuleBroken` where it is the wrong one, which is counted as a failed sign-in is.
    """
    throttle = Throttle(f"user {call.user_id}", call.client, settings, alone=True)

    async def look(reader: Reader) -> str:
        await throttle.look(reader)
        user = await _active(call.user_id).using_db(reader.models).get_or_none()
        if user is None:
            raise _missing()
        return user.password_hash

    old_hash = await db.read(look)
    if await verify(old_hash, call.current_password or "", settings):
        await db.transaction(throttle.forget)
        return old_hash
    if call.password and await verify(old_hash, call.password, settings):
        return None  # the answer to the first try of this change was lost
    await db.transaction(throttle.count)
    raise RuleBroken(
        "The current password is wrong.",
        errors=[FieldError("current_password", "is not the current password")],
    )


async def check_password(
    user_id: int, password: str, client: str, db: Database, settings: UserSettings
) -> str:
    """The hash that a user's password was checked against. Raises as `change_me` does for a wrong one."""
    call = ChangeMe(user_id=user_id, current_password=password, client=client)
    checked = await _checked_hash(call, db, settings)
    assert checked is not None  # noqa: S101  only where there is a new password
    return checked


def entry(user: User) -> UserEntry:
    """A user as it stands in the list."""
    return UserEntry(
        id=user.id,
        email=user.email,
        name=user.name,
        role=domain.old_role(domain.roles_of(user.roles)),
        roles=domain.roles_of(user.roles),
        state=cast(Literal["OPENING", "ACTIVE", "ERASED"], user.state),
        created_at=user.created_at,
    )


def _profile(user: User) -> Profile:
    roles = domain.roles_of(user.roles)
    return Profile(
        id=user.id,
        email=user.email,
        name=user.name,
        address=user.address,
        role=domain.old_role(roles),
        roles=roles,
        email_proven=user.email_proven_at is not None,
    )


def _active(user_id: int) -> QuerySet[User]:
    return User.filter(id=user_id, state="ACTIVE")


def _missing() -> NotFound:
    return NotFound("There is no such user.")
