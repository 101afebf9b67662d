"""Payments that need a person, over the shop's HTTP door: found, closed with a reason, and who did it."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ops.shop import PAGE, Session
from payment_svc.contracts import OperatorPayment, Outcome, PaymentPage, PaymentStatus, PaymentView


class Deed(Struct, frozen=True, kw_only=True):
    """Something that a person of the shop did about money."""

    id: int
    at: datetime
    by: int
    action: str
    target: str
    reason: str | None
    details: dict[str, Any] | None


class _Deeds(Struct, frozen=True):
    items: list[Deed]


class Payments:
    """What an admin can see of payments, and say of those that need a person."""

    def __init__(self, admin: Session) -> None:
        self._admin = admin

    async def that_stand(self, status: PaymentStatus = "NEEDS_ATTENTION") -> list[OperatorPayment]:
        """All payments of a status, the one that was begun first at the beginning."""
        found: list[OperatorPayment] = []
        after: dict[str, str] = {}
        while True:
            query = {"status": status, "limit": PAGE, **after}
            answer = await self._admin.send("GET", "/ops/payments", query=query)
            page = msgspec.json.decode(answer.content, type=PaymentPage)
            found += page.items
            if page.next is None:
                return found
            after = {"after": str(page.next)}

    async def resolve(self, payment_id: str, outcome: Outcome, reason: str) -> PaymentView:
        """Say what became of the money; Refused 409 where the payment does not need anybody."""
        body = {"as": outcome, "reason": reason}
        answer = await self._admin.send("POST", f"/ops/payments/{payment_id}/resolve", body=body)
        return msgspec.json.decode(answer.content, type=PaymentView)

    async def deeds(self) -> list[Deed]:
        """The latest things that people of the shop did about money, newest first."""
        answer = await self._admin.send("GET", "/ops/audit", query={"service": "payment", "limit": PAGE})
        return msgspec.json.decode(answer.content, type=_Deeds).items
