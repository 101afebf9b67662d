"""Access tokens that end before their time: by an event at once, and by a list that gateways ask for.

A token says of which generation of its user's tokens it is. What ends all of them (new roles, a new password)
begins the next generation in the same transaction: a token that a racing sign-in or refresh made from the
user as it was before bears the old one, whichever clock says what.
"""

from datetime import timedelta
from uuid import UUID

from tortoise.expressions import F

from shared.database import Reader, Transaction
from user_svc.contracts import Ended, TokensEnded
from user_svc.models import EndedTokens, User

AT_ONCE = 1000
PURGED_AT_ONCE = 1000


async def end_tokens(tx: Transaction, user_id: int) -> None:
    """No access token that the user has by now counts any more. Sign-ins last: a refresh gives a new one."""
    user = User.filter(id=user_id).using_db(tx.models)
    await user.update(generation=F("generation") + 1)
    changed = await user.get()
    await _write_down(tx, user_id, None, changed.generation)


async def end_tokens_of_session(tx: Transaction, user_id: int, session_id: UUID) -> None:
    """No access token of this sign-in counts any more."""
    await _write_down(tx, user_id, session_id, 0)


async def ended_after(db: Reader, place: int) -> tuple[list[Ended], bool]:
    """What has ended after a place in the list of it, and whether there is more."""
    rows = await EndedTokens.filter(id__gt=place).using_db(db.models).order_by("id").limit(AT_ONCE)
    ended = [
        Ended(
            id=row.id,
            user_id=row.user_id,
            session_id=UUID(row.session_id) if row.session_id else None,
            below=row.below,
        )
        for row in rows
    ]
    return ended, len(ended) == AT_ONCE


async def purge(tx: Transaction, life: timedelta) -> None:
    """Delete what has expired by now all the same, some at a time; `life` is how long a token counts."""
    expired = EndedTokens.filter(ended_at__lt=tx.now - life).using_db(tx.models)
    await expired.order_by("ended_at").limit(PURGED_AT_ONCE).delete()


async def _write_down(tx: Transaction, user_id: int, session_id: UUID | None, below: int) -> None:
    await EndedTokens.create(
        user_id=user_id,
        session_id=str(session_id) if session_id else None,
        below=below,
        ended_at=tx.now,
        using_db=tx.models,
    )
    tx.emit(TokensEnded(user_id=user_id, session_id=session_id, below=below))
