"""What order keeps of persons."""

from order_svc.contracts import CountUnsettled, ExportUser, Unsettled
from shared.database import Held, Reader, Transaction, erase, kept_of
from shared.messages import KeptOf, View

HELD = (
    Held(
        table="orders",
        whose="buyer_id",
        shown=("created_at", "id", "status", "reason", "settled", "paid", "pay_with", "total", "lines"),
        documents=("lines",),
        inner=("reason_details", "version", "updated_at", "deadline_at", "extended_at", "item_names"),
        erased={},
        why="orders are books: items, pieces and prices, and a number that leads to nobody",
    ),
)

NOBODYS = {
    "participants": "an order's, which says whose it is",
    "order_history": "an order's, which says whose it is",
}


class UserErased(View, of="user.erased"):
    """A user has had the account deleted; told a second time a day later."""

    user_id: int


async def forget_user(event: UserErased, tx: Transaction) -> None:
    """Erase what is kept of a user who is gone."""
    await erase(tx, HELD, event.user_id)


async def count_unsettled(call: CountUnsettled, db: Reader) -> Unsettled:
    """How many of a buyer's orders are under way."""
    row = await db.row("SELECT COUNT(*) FROM orders WHERE buyer_id = %s AND settled = 0", (call.buyer_id,))
    return Unsettled(count=row[0] if row else 0)


async def export_user(call: ExportUser, db: Reader) -> KeptOf:
    """What is kept of a user."""
    return await kept_of(db, HELD, call.user_id)
