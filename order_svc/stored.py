"""An order as it is stored: the saga, and what surrounds it."""

from datetime import datetime
from uuid import UUID

import msgspec

from order_svc.contracts import HistoryEntry
from order_svc.saga import Saga


class StoredParticipant(msgspec.Struct):
    """What is kept of a participant besides how it stands: its row's id, if it has one already, and when it
    moved last."""

    id: int | None
    moved_at: datetime


class StoredOrder(msgspec.Struct, kw_only=True):
    """An order under its row lock."""

    id: UUID
    buyer_id: int
    total: int
    pay_with: str | None
    version: int
    created_at: datetime
    deadline_at: datetime | None
    extended_at: datetime | None
    """When it was given one more deadline for an outage."""
    saga: Saga
    item_names: dict[int, str]
    """What its items were called when they were taken, once that is known."""
    rows: dict[str, StoredParticipant]
    """What is kept of each participant besides, in the order in which they joined."""
    history: list[HistoryEntry]
