"""Profiles: one's own, to look at and to change, and everybody's, for admins and other services."""

import msgspec

from shared.database import Database, Reader, Transaction
from shared.errors import Conflict, FieldError, NotFound, RuleBroken
from user_svc import domain, sessions
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


async def get_me(call: GetMe, db: Reader) -> Profile:
    """A user's own profile."""
    user = await User.get_or_none(id=call.user_id, state="ACTIVE", using_db=db.models)
    if user is None:
        raise NotFound("There is no such user.")
    return msgspec.convert(user, Profile, from_attributes=True)


async def change_me(call: ChangeMe, db: Database, settings: UserSettings) -> Profile:
    """Change what is given. A new password ends all sign-ins, those of a thief among them."""
    if errors := domain.change_errors(call.name, call.address, call.password, call.current_password):
        raise RuleBroken("Some fields cannot be accepted.", errors=errors)
    old_hash = await _checked_hash(call, db, settings) if call.password is not None else None
    new_hash = await hash_password(call.password, settings) if call.password and old_hash else None

    async def change(tx: Transaction) -> Profile:
        row = await tx.row(
            "SELECT password_hash FROM users WHERE id = %s AND state = 'ACTIVE' FOR UPDATE", (call.user_id,)
        )
        if row is None:
            raise NotFound("There is no such user.")
        if new_hash and row[0] != old_hash:
            raise Conflict("The password was changed in the meantime.")
        await tx.write(
            "UPDATE users SET name = COALESCE(%s, name), address = COALESCE(%s, address),"
            " password_hash = COALESCE(%s, password_hash) WHERE id = %s",
            (_stripped(call.name), _stripped(call.address), new_hash, call.user_id),
        )
        if new_hash:
            await sessions.end_sessions(tx, call.user_id)
        return await get_me(GetMe(user_id=call.user_id), tx)

    return await db.transaction(change)


async def list_users(call: ListUsers, db: Reader) -> UserPage:
    """A page of all users."""
    query = User.filter(id__gt=call.after or 0).using_db(db.models)
    users = await query.order_by("id").limit(call.limit + 1)
    page = [msgspec.convert(user, UserEntry, from_attributes=True) for user in users[: call.limit]]
    return UserPage(items=page, next=page[-1].id if len(users) > call.limit else None)


async def find_users(call: FindUsers, db: Reader) -> KnownUsers:
    """Those who may sign in. One who is OPENING may yet be undone, and does not count."""
    rows = await db.rows(
        "SELECT id FROM users WHERE id IN %s AND state = 'ACTIVE' ORDER BY id", (sorted(set(call.ids)),)
    )
    return KnownUsers(ids=[row[0] for row in rows])


async def _checked_hash(call: ChangeMe, db: Database, settings: UserSettings) -> str | None:
    """The hash that the current password was checked against; None where the new one is set already.

    Raises `RuleBroken` where it is the wrong one, which is counted as a failed sign-in is.
    """
    throttle = Throttle(f"user {call.user_id}", call.client, settings)

    async def look(reader: Reader) -> str:
        throttle.check(await sessions.failures(reader, throttle.key), reader)
        row = await reader.row(
            "SELECT password_hash FROM users WHERE id = %s AND state = 'ACTIVE'", (call.user_id,)
        )
        if row is None:
            raise NotFound("There is no such user.")
        return row[0]

    old_hash = await db.read(look)
    if await verify(old_hash, call.current_password or "", settings):
        await db.transaction(throttle.forget)
        return old_hash
    if await verify(old_hash, call.password or "", settings):
        return None  # the answer to the first try of this change was lost
    await db.transaction(throttle.count)
    raise RuleBroken(
        "The current password is wrong.",
        errors=[FieldError("current_password", "is not the current password")],
    )


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip()
