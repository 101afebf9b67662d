"""What coupon keeps of persons."""

from coupon_svc.contracts import ExportUser
from shared.database import Held, Reader, Transaction, erase, kept_of
from shared.messages import KeptOf, View

HELD = (
    Held(
        table="user_coupons",
        shown=("policy_id", "issued_at", "used_by", "used_at"),
        inner=("id", "request_id"),
        erased={},
        why="what was issued is counted; nobody can use a coupon whose owner cannot sign in",
    ),
)

NOBODYS = {
    "coupon_policies": "the shop's offers",
    "coupon_uses": "an order's, which says whose it is",
    "coupon_claims": "an order's, which says whose it is",
    "item_prices": "the catalogue",
    "price_readings": "readings of the catalogue",
}


class UserErased(View, of="user.erased"):
    """A user has had the account deleted; told a second time a day later."""

    user_id: int


async def forget_user(event: UserErased, tx: Transaction) -> None:
    """Erase what is kept of a user who is gone."""
    await erase(tx, HELD, event.user_id)


async def export_user(call: ExportUser, db: Reader) -> KeptOf:
    """What is kept of a user."""
    return await kept_of(db, HELD, call.user_id)
