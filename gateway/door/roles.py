"""Who may ask on a route: each says it once, as its `opt=`, for the door, the console and docs/roles.md."""

from typing import Any, get_args

from msgspec import Struct

from user_svc.contracts import Role

WHO = "who"
"""Where a route's `opt` says it; a route that does not is for everybody."""
ROLES: tuple[Role, ...] = get_args(Role)


class Allowed(Struct, frozen=True, kw_only=True):
    """The roles that may ask on a route, and those of them who are not limited to what is their own."""

    roles: frozenset[Role]
    unlimited: frozenset[Role]

    def lets_in(self, roles: frozenset[Role]) -> bool:
        """Whether somebody with these roles may ask."""
        return not self.roles.isdisjoint(roles)


def only(*roles: Role) -> dict[str, Any]:
    """`opt=` of a route for some roles, and for admins."""
    may = frozenset[Role]((*roles, "admin"))
    return {WHO: Allowed(roles=may, unlimited=may)}


def own_or(*roles: Role) -> dict[str, Any]:
    """`opt=` of a route where customers find what is their own, and some roles and admins anybody's."""
    unlimited = frozenset[Role]((*roles, "admin"))
    return {WHO: Allowed(roles=unlimited | frozenset[Role](("customer",)), unlimited=unlimited)}


SIGNED_IN: dict[str, Any] = {WHO: Allowed(roles=frozenset(ROLES), unlimited=frozenset())}
"""`opt=` of a route about oneself, whatever one's roles."""
_BUYERS = frozenset[Role](("customer", "admin"))
OWN: dict[str, Any] = {WHO: Allowed(roles=_BUYERS, unlimited=frozenset())}
"""`opt=` of what customers do with what is their own."""
ADMIN = only()
SUPPORT = only("support")
CATALOGUE = only("catalogue")
FINANCE = only("finance")


def allowed(opt: dict[str, Any]) -> Allowed | None:
    """Who may ask on the route with this `opt`; None for everybody."""
    return opt.get(WHO)
