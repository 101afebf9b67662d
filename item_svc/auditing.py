"""Who changed the catalogue or its stock by hand: told by the unit of work that changes it."""

from typing import Any

from item_svc.contracts import ItemAudited
from item_svc.models import Item
from shared.database import Transaction


def facts(item: Item) -> dict[str, Any]:
    """What of an item people change."""
    return {"name": item.name, "size": item.size, "price": item.price, "stock": item.stock}


def audit(
    tx: Transaction,
    by: int,
    action: str,
    item: Item,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    reason: str | None = None,
) -> None:
    """Tell that `by` did this to an item, for the audit log."""
    tx.emit(
        ItemAudited(by=by, action=action, target=f"item {item.id}", before=before, after=after, reason=reason)
    )
