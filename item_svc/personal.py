"""What item keeps of persons."""

from item_svc.contracts import ExportUser
from shared.database import Held, Reader, Transaction, erase, kept_of
from shared.messages import KeptOf, View

HELD = (
    Held(table="cart_lines", shown=("item_id", "quantity", "changed_at"), inner=("id",)),
    Held(
        table="cart_takings",
        shown=("order_id", "pieces", "changed_at"),
        documents=("pieces",),
        inner=("state",),
        erased={},
        why="what left a cart for an order is a part of the order, and only says pieces of items",
    ),
)

NOBODYS = {
    "items": "the catalogue",
    "item_claims": "an order's, which says whose it is",
    "stock_history": "the books of the stock; who changed it is an operator",
    "item_requests": "operators' requests",
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
