"""The end of an account: what is personal goes everywhere, by an event; the books stay."""

from datetime import timedelta

from order_svc.contracts import CountUnsettled
from shared.database import Database, Transaction, erase
from shared.errors import Conflict, NotFound
from shared.rpc import Rpc
from user_svc import domain, sessions
from user_svc.contracts import EraseMe, UserErased
from user_svc.models import Erasure, User
from user_svc.personal import HELD
from user_svc.profiles import check_password
from user_svc.settings import UserSettings

AGAIN_AFTER = timedelta(days=1)
"""What was under way when the account ended may have left something behind: it is swept once more."""
AT_ONCE = 100


async def erase_me(call: EraseMe, db: Database, rpc: Rpc, settings: UserSettings) -> None:
    """Delete an account: not of staff, and not while orders are under way, whose buyer must be known.

    Repeated after it was done, it finds no such user.
    """
    checked = await check_password(call.user_id, call.password, call.client, db, settings)
    unsettled = await rpc.call(CountUnsettled(buyer_id=call.user_id))
    if unsettled.count:
        raise Conflict(
            f"{unsettled.count} of your orders are still under way: wait until they are settled,"
            " or cancel them."
        )

    async def end(tx: Transaction) -> None:
        user = (
            await User.filter(id=call.user_id, state="ACTIVE")
            .using_db(tx.models)
            .select_for_update()
            .get_or_none()
        )
        if user is None:
            raise NotFound("There is no such user.")
        if user.password_hash != checked:
            raise Conflict("The password was changed in the meantime.")
        if domain.roles_of(user.roles) != ["customer"]:
            raise Conflict("This account has a role in the shop: an admin has to take that first.")
        await sessions.end_sessions(tx, user.id)
        await erase(tx, HELD, user.id)
        await Erasure.create(
            user_id=user.id, asked_at=tx.now, again_at=tx.now + AGAIN_AFTER, using_db=tx.models
        )
        tx.emit(UserErased(user_id=user.id))

    await db.transaction(end)


async def sweep_again(tx: Transaction) -> None:
    """A job: tell of erasures a second time, a day later."""
    due = Erasure.filter(again_at__lte=tx.now).using_db(tx.models).order_by("again_at").limit(AT_ONCE)
    for one in await due.select_for_update(skip_locked=True):
        await erase(tx, HELD, one.user_id)
        await Erasure.filter(user_id=one.user_id).using_db(tx.models).update(again_at=None)
        tx.emit(UserErased(user_id=one.user_id))
