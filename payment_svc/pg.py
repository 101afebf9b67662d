"""What a payment gateway (PG) is to this service: something that charges cards, and that may not answer.

`payment_svc/toss.py` is the implementation; nothing else here knows its HTTP.
"""

from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID


class Finding(StrEnum):
    """What a PG says about a payment."""

    CHARGED = "CHARGED"
    REFUSED = "REFUSED"
    """Not charged, for good: a later try to charge it will be refused as well."""
    CANCELLED = "CANCELLED"
    """It was charged, and the charge is undone."""
    NOTHING = "NOTHING"
    """Nothing is charged, but something still could be."""


class Report(NamedTuple):
    """A finding, with the PG's own code and words for it where it refuses."""

    finding: Finding
    code: str = ""
    message: str = ""

    def details(self) -> dict[str, Any]:
        """What a payer is told of a refusal."""
        return {"code": self.code, "message": self.message} if self.code else {}


class Card(NamedTuple):
    """A payment as the PG is asked about it. `key` names the card; the payment's id is our order number."""

    payment_id: UUID
    key: str
    amount: int


class NoAnswer(Exception):
    """The PG did not answer, or not in a way that says what it did: the outcome is not known."""


class PaymentGateway(Protocol):
    """Every method is safe to repeat, and raises `NoAnswer` where the outcome is not known."""

    async def charge(self, card: Card) -> Report:
        """Charge a card, once however often it is asked."""
        ...

    async def look_up(self, payment_id: UUID) -> Report:
        """What has become of a payment."""
        ...

    async def cancel(self, card: Card, reason: str) -> Report:
        """Undo the charge, or see to it that there will be none."""
        ...
