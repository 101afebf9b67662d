"""What query keeps of persons."""

from query_svc.contracts import ExportUser
from shared.database import Held, Reader, kept_of
from shared.messages import KeptOf

HELD = (
    Held(
        table="order_views",
        whose="buyer_id",
        shown=("placed_at", "order_id", "status", "settled", "reason", "total"),
        inner=(
            "reason_details",
            "pay_with",
            "payment_id",
            "participants",
            "line_count",
            "lines",
            "completed_at",
            "confirmed_at",
            "failed_at",
            "settled_at",
            "cancelled_at",
            "parts",
            "last_event_at",
        ),
        erased={},
        why="figures of orders, and a number that leads to nobody",
    ),
)

NOBODYS = {
    "saga_event_log": "events, none of which has a place for what is a person's alone",
    "event_store_head": "how far the store has come",
    "item_names": "the catalogue",
    "item_sales": "figures",
    "sales_hours": "figures",
    "watched_queues": "the services' queues",
    "dead_letters": "events that failed, see saga_event_log",
    "operator_actions": "what operators did, by their numbers",
    "letter_actions": "what operators did",
}


async def export_user(call: ExportUser, db: Reader) -> KeptOf:
    """What is kept of a user."""
    return await kept_of(db, HELD, call.user_id)
