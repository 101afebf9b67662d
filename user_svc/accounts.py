"""The steps of a user's row: begun as OPENING, then ACTIVE or gone. Each step happens at most once.

Sign-up and point account stand or fall together because both ways out of OPENING are conditional on it, and
because leaving by the second one tells payment, which then refuses that account for good.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from shared.database import DuplicateKey, Reader, Transaction
from shared.errors import Conflict, FieldError
from user_svc.contracts import Register, UserRegistered, UserRegistrationFailed
from user_svc.domain import email_key


class Begun(NamedTuple):
    """A sign-up that has been written down, now or by an earlier try of the same request."""

    user_id: int
    active: bool


class Unfinished(NamedTuple):
    """A sign-up that is OPENING, and for how many seconds."""

    user_id: int
    seconds: float


class Credentials(NamedTuple):
    """What is needed to let a user in."""

    user_id: int
    role: str
    password_hash: str


async def find_request(db: Reader, call: Register) -> Begun | None:
    """What an earlier try of the same sign-up has come to. Raises `Conflict` if the address is another's."""
    row = await db.row("SELECT id, state FROM users WHERE request_id = %s", (call.request_id,))
    if row is not None:
        return Begun(row[0], row[1] == "ACTIVE")
    if await db.row("SELECT id FROM users WHERE email_key = %s", (email_key(call.email),)):
        raise _taken()
    return None


async def begin(tx: Transaction, call: Register, password_hash: str, *, retry_s: float) -> Begun:
    """Write the user down as OPENING, due in so many seconds. Raises `Conflict` if the address is taken."""
    try:
        user_id = await tx.insert(
            "INSERT INTO users (request_id, email, email_key, name, address, password_hash, role, state,"
            " created_at, due_at) VALUES (%s, %s, %s, %s, %s, %s, 'customer', 'OPENING', %s, %s)",
            (
                call.request_id,
                call.email,
                email_key(call.email),
                call.name.strip(),
                call.address.strip(),
                password_hash,
                tx.now,
                tx.now + timedelta(seconds=retry_s),
            ),
        )
    except DuplicateKey:  # of the address, or of the request: its twin on another replica was faster
        begun = await find_request(tx, call)
        if begun is None:
            raise  # the twin has been undone since; the whole unit runs again
        return begun
    return Begun(user_id, active=False)


async def activate(tx: Transaction, user_id: int) -> bool:
    """The point account exists: let the user in, and tell. False if the sign-up was undone before."""
    changed = await tx.execute(
        "UPDATE users SET state = 'ACTIVE', due_at = NULL WHERE id = %s AND state = 'OPENING'", (user_id,)
    )
    if changed:
        tx.emit(UserRegistered(user_id=user_id))
        return True
    return await tx.row("SELECT 1 FROM users WHERE id = %s AND state = 'ACTIVE'", (user_id,)) is not None


async def undo(tx: Transaction, user_id: int) -> bool:
    """Remove a user whose point account could not be opened, and tell. False if it was activated before."""
    removed = await tx.execute("DELETE FROM users WHERE id = %s AND state = 'OPENING'", (user_id,))
    if removed:
        tx.emit(UserRegistrationFailed(user_id=user_id))
    return bool(removed)


async def take_up(tx: Transaction, user_ids: Sequence[int], *, retry_s: float) -> None:
    """Somebody works on these sign-ups now: unless that ends them, they are due again in so many seconds."""
    await tx.write(
        "UPDATE users SET due_at = %s WHERE id IN %s AND state = 'OPENING'",
        (tx.now + timedelta(seconds=retry_s), sorted(user_ids)),
    )


async def claim_unfinished(tx: Transaction, *, retry_s: float) -> list[Unfinished]:
    """Take up sign-ups that nobody has ended by their time; those due longest first, a hundred at a time."""
    rows = await tx.rows(
        "SELECT id, created_at FROM users WHERE due_at <= %s ORDER BY due_at, id LIMIT 100"
        " FOR UPDATE SKIP LOCKED",
        (tx.now,),
    )
    if rows:
        await take_up(tx, [row[0] for row in rows], retry_s=retry_s)
    return [Unfinished(user_id, (tx.now - created_at).total_seconds()) for user_id, created_at in rows]


async def credentials(db: Reader, email: str) -> Credentials | None:
    """What lets the user with this address in; None if there is none, or not yet."""
    key = email_key(email)
    rows = await db.rows(
        "SELECT id, role, password_hash, email_key FROM users WHERE email_key = %s AND state = 'ACTIVE'",
        (key,),
    )
    # The database overlooks spaces at the end of a text; an address is the same or it is not.
    return next((Credentials(*row[:3]) for row in rows if row[3] == key), None)


def _taken() -> Conflict:
    return Conflict("This address has an account already.", errors=[FieldError("email", "Taken")])
