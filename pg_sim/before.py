"""Lines that an earlier version of the simulator wrote into its journal: what was charged stays charged."""

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from pg_sim.payments import Cancellation, Payment
from pg_sim.refusals import Refusal

UNKNOWN_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Payments that came to nothing bore no time."""


class ChargeOfBefore(Struct, frozen=True, kw_only=True, rename="camel"):
    """A payment as it was written then: cancelled in whole or not at all."""

    payment_key: str
    order_id: str
    status: Literal["DONE", "CANCELED", "ABORTED"]
    total_amount: int
    approved_at: datetime | None
    failure: Refusal | None

    def as_payment(self) -> Payment:
        """The same payment as it is kept now."""
        at = self.approved_at or UNKNOWN_TIME
        whole = Cancellation(
            transaction_key=f"txn_{self.payment_key}_cancel",
            amount=self.total_amount,
            reason=self.failure.message if self.failure else "",
            canceled_at=at,
        )
        return Payment(
            key=self.payment_key,
            order_id=self.order_id,
            amount=self.total_amount,
            status=self.status,
            began_at=at,
            approved_at=self.approved_at,
            transaction_key=f"txn_{self.payment_key}" if self.approved_at else "",
            cancellations=(whole,) if self.status == "CANCELED" else (),
            failure=self.failure if self.status == "ABORTED" else None,
        )
