"""What payment keeps of persons."""

from payment_svc.contracts import ExportUser
from shared.database import Held, Reader, Transaction, erase, kept_of
from shared.messages import KeptOf, View

HELD = (
    Held(
        table="accounts",
        shown=("opened_at", "balance", "state"),
        erased={},
        why="the books of points; nobody can spend what is left",
    ),
    Held(
        table="ledger",
        shown=("at", "delta", "balance", "kind", "order_id", "payment_id", "note"),
        inner=("id", "grant_id"),
        erased={},
        why="the books of points; a note is the shop's reason for an entry",
    ),
    Held(
        table="payments",
        shown=(
            "created_at",
            "payment_id",
            "order_id",
            "state",
            "method",
            "amount",
            "refunded",
            "released",
            "reason",
        ),
        inner=(
            "attempt",
            "refunding",
            "refund_id",
            "details",
            "resolved",
            "card_key",
            "asks",
            "asked_at",
            "looked_at",
            "ask_due_at",
            "changed_at",
        ),
        erased={},
        why="the books of money; the gateway's number of a charge is what it is reconciled and refunded by",
    ),
    Held(
        table="payment_intents",
        shown=("created_at", "payment_id", "order_id", "amount", "expires_at", "used_at"),
        inner=("card_key",),
        erased={"card_key": None},
        why="numbers that were given out are never given again",
    ),
)

NOBODYS = {
    "notice_pace": "when the gateway is asked next",
    "audit_log": "what operators did, by their numbers",
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
