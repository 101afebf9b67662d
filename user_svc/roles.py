"""Which roles users have: kept beside each other in one column, changed by admins, never without one left."""

from shared.database import Transaction
from shared.errors import Conflict, FieldError, NotFound, RuleBroken
from user_svc import domain, profiles, store
from user_svc.contracts import SetRoles, UserAudited, UserEntry
from user_svc.ending import end_tokens
from user_svc.models import User


async def set_roles(call: SetRoles, tx: Transaction) -> UserEntry:
    """Give a user exactly these roles, and end the tokens that name others."""
    if len(set(call.roles)) != len(call.roles):
        raise RuleBroken("A role is given twice.", errors=[FieldError("roles", "names a role twice")])
    # All admins are held, and in one order: of two who take the role from each other, the second finds
    # that the first has lost it.
    admins = await store.lock_admins(tx)
    user = await User.filter(id=call.user_id).using_db(tx.models).select_for_update().get_or_none()
    if user is None:
        raise NotFound("There is no such user.")
    if "admin" not in call.roles and admins == {user.id}:
        raise Conflict("This is the last admin: make another one first.")
    before, after = user.roles, domain.kept_roles(call.roles)
    if before != after:
        user.roles, user.role = after, domain.old_role(call.roles)
        await user.save(using_db=tx.models, update_fields=["roles", "role"])
        await end_tokens(tx, user.id)
        tx.emit(
            UserAudited(
                by=call.by,
                action="set roles",
                target=f"user {user.id}",
                before={"roles": domain.roles_of(before)},
                after={"roles": domain.roles_of(after)},
            )
        )
    return profiles.entry(user)
