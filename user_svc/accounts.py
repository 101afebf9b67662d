"""The steps of a user's row: begun as OPENING, then ACTIVE or gone. Each step happens at most once.

Sign-up and point account stand or fall together because both ways out of OPENING are conditional on it, and
because leaving by the second one tells payment, which then refuses that account for good.
"""

from datetime import timedelta
from typing import NamedTuple

from shared.database import DuplicateKey, Reader, Transaction
from shared.errors import Conflict, FieldError
from user_svc.contracts import Register, UserRegistered, UserRegistrationFailed
from user_svc.domain import EMAIL_MAX, email_key
from user_svc.models import User


class Begun(NamedTuple):
    """A sign-up that has been written down, now or by an earlier try of the same request."""

    user_id: int
    active: bool


async def find_request(db: Reader, call: Register) -> Begun | None:
    """What an earlier try of the same sign-up has come to. Raises `Conflict` if the address is another's."""
    user = await User.get_or_none(request_id=call.request_id, using_db=db.models)
    if user is not None:
        return Begun(user.id, user.state == "ACTIVE")
    if await User.exists(email_key=email_key(call.email), using_db=db.models):
        raise _taken()
    return None


async def begin(tx: Transaction, call: Register, password_hash: str, *, retry_s: float) -> Begun:
    """Write the user down as OPENING, due in so many seconds. Raises `Conflict` if the address is taken."""
    try:
        user = await User.create(
            request_id=call.request_id,
            email=call.email,
            email_key=email_key(call.email),
            name=call.name.strip(),
            address=call.address.strip(),
            password_hash=password_hash,
            state="OPENING",
            created_at=tx.now,
            due_at=tx.now + timedelta(seconds=retry_s),
            using_db=tx.models,
        )
    except DuplicateKey:  # of the address, or of the request: its twin on another replica was faster
        begun = await find_request(tx, call)
        if begun is None:
            raise  # the twin has been undone since; the whole unit runs again
        return begun
    return Begun(user.id, active=False)


async def activate(tx: Transaction, user_id: int) -> bool:
    """The point account exists: let the user in, and tell. False if the sign-up was undone before."""
    opening = User.filter(id=user_id, state="OPENING").using_db(tx.models)
    changed = await opening.update(state="ACTIVE", due_at=None)
    if changed:
        tx.emit(UserRegistered(user_id=user_id))
        return True
    return await User.exists(id=user_id, state="ACTIVE", using_db=tx.models)


async def undo(tx: Transaction, user_id: int) -> bool:
    """Remove a user whose point account could not be opened, and tell. False if it was activated before."""
    removed = await User.filter(id=user_id, state="OPENING").using_db(tx.models).delete()
    if removed:
        tx.emit(UserRegistrationFailed(user_id=user_id))
    return bool(removed)


async def with_address(db: Reader, email: str) -> User | None:
    """The user with this address; None if there is none, or nobody who may be let in yet."""
    key = email_key(email)
    if len(key) > EMAIL_MAX:
        return None  # a model refuses to be asked for what its column cannot hold
    user = await User.get_or_none(email_key=key, state="ACTIVE", using_db=db.models)
    # The database overlooks spaces at the end of a text; an address is the same or it is not.
    return user if user is not None and user.email_key == key else None


def _taken() -> Conflict:
    return Conflict("This address has an account already.", errors=[FieldError("email", "Taken")])
