"""What user keeps of persons: the only place that knows who a number is."""

from shared.database import Held, Reader, kept_of
from shared.messages import KeptOf
from user_svc.contracts import ExportUser

HELD = (
    Held(
        table="users",
        whose="id",
        shown=("created_at", "id", "email", "name", "address", "roles", "state", "email_proven_at"),
        inner=("request_id", "email_key", "password_hash", "role", "generation", "due_at"),
        erased={
            "email": "",
            "email_key": "erased {user}",
            "name": "",
            "address": "",
            "password_hash": "",
            "request_id": None,
            "email_proven_at": None,
            "state": "ERASED",
        },
        why="the number is never given again, for the books of others name it",
    ),
    Held(
        table="sessions",
        shown=("created_at", "id", "client", "used_at", "expires_at"),
        inner=("secret_hash", "previous_hash", "rotated_by", "rotated_at", "successor_salt"),
    ),
    Held(
        table="mailings",
        shown=("created_at", "kind", "email", "client"),
        inner=("id", "address_hash", "due_at", "attempts"),
    ),
    Held(table="mailed_tokens", shown=("expires_at", "kind", "email"), inner=("id",)),
    Held(table="known_clients", shown=("last_at",), inner=("id",)),
    Held(
        table="ended_tokens",
        shown=("ended_at", "session_id"),
        inner=("id", "below"),
        erased={},
        why="gateways are told by it that tokens do not count; it goes when those would have expired",
    ),
    Held(
        table="notifications",
        shown=("created_at", "id", "kind", "order_id", "reason", "amount", "read_at"),
        inner=("part",),
        erased={},
        why="what was told of an order is held against its events; it names numbers only",
    ),
    Held(
        table="erasures",
        shown=("asked_at",),
        inner=("again_at",),
        erased={},
        why="the proof that it was done",
    ),
)
NOBODYS = {
    "sign_in_failures": "counts by hashes, for some minutes",
    "signing_keys": "the shop's",
    "deliveries": "a notification's; what still waits is dropped once its user has no address",
}


async def export_user(call: ExportUser, db: Reader) -> KeptOf:
    """What is kept of a user."""
    return await kept_of(db, HELD, call.user_id)
