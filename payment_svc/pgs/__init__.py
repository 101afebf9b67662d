"""What a payment gateway (PG) is to this service: something that charges cards, and that may not answer.

Each module of this package is an adapter to one PG, named by `SHOP_PG_ADAPTER`; nothing outside it knows that
PG's HTTP: its paths, headers, notices and error codes. An adapter is a function `connect(settings)` that
returns a `PaymentGateway`.
"""

import pkgutil
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from payment_svc.settings import PaymentSettings


class Finding(StrEnum):
    """What a PG says about a payment."""

    CHARGED = "CHARGED"
    """It is charged; a part of it may have been given back (`Report.returned`), but not all."""
    CANCELLED = "CANCELLED"
    """It was charged, and all of it has been given back."""
    REFUSED = "REFUSED"
    """Not charged, for good: a later try to charge it will be refused as well."""
    NOTHING = "NOTHING"
    """Nothing is charged, but something still could be."""
    STAYS_CHARGED = "STAYS_CHARGED"
    """It is charged, and the PG refuses for good to give back what it was asked to."""
    CONTRADICTION = "CONTRADICTION"
    """The answer is not about this payment: its number, key, amount or currency is another."""
    UNKNOWN = "UNKNOWN"
    """There was no answer that says what is so: it has to be asked again."""


class Report(NamedTuple):
    """A finding; `returned`: how many won of a charge were given back; `code`, `message`: the PG's own."""

    finding: Finding
    returned: int = 0
    code: str = ""
    message: str = ""

    def details(self) -> dict[str, Any]:
        """What is kept of a refusal."""
        return {"code": self.code, "message": self.message} if self.code else {}


class Card(NamedTuple):
    """A payment as the PG is asked about it: our order number, the key that names the card, and the won."""

    payment_id: UUID
    key: str
    amount: int


class Entry(NamedTuple):
    """A line in the PG's own books: so many won charged (above 0) or given back (below 0) under a number."""

    number: str
    amount: int
    currency: str
    at: datetime


class Notice(NamedTuple):
    """What the PG, or anybody who writes like it, says: which number it is about, and how that stands now.

    It is not believed. But one that says what we know already is no reason to ask.
    """

    number: str
    finding: Finding = Finding.UNKNOWN
    returned: int = 0


class NoAnswer(Exception):
    """The PG did not answer, or not in a way that says what it did: the outcome is not known."""


class PaymentGateway(Protocol):
    """Every method is safe to repeat, and raises `NoAnswer` where the outcome is not known.

    A report counts only if it is about the card's number, key, amount and currency; else `CONTRADICTION`.
    """

    confirm_window_s: float
    """For so long after it was begun may a payment still be charged."""

    async def charge(self, card: Card, *, attempt: int) -> Report:
        """Charge a card, once however often it is asked. `attempt` tells one question from the next."""
        ...

    async def look_up(self, card: Card) -> Report:
        """What has become of a payment, by our number."""
        ...

    async def cancel(self, card: Card, reason: str, *, attempt: str, amount: int | None = None) -> Report:
        """Give back `amount` won of a charge, or all that is left of it.

        The same `attempt` is done once. Ask only about a card that `look_up` found to be charged: the PG
        cancels whatever the key names.
        """
        ...

    def transactions(self, since: datetime, until: datetime) -> AsyncIterator[Entry]:
        """The PG's own books between two times, in their order."""
        ...

    def read_notice(self, headers: Mapping[str, str], body: str) -> Notice | None:
        """What a notice says; None where it is none."""
        ...


@cache
def adapter(settings: PaymentSettings) -> PaymentGateway:
    """The PG that the settings name, with its connections. Raises `ValueError` for one that there is not."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if settings.pg_adapter not in known:
        raise ValueError(f"SHOP_PG_ADAPTER is {settings.pg_adapter!r}; there is {', '.join(known)}")
    return import_module(f"{__name__}.{settings.pg_adapter}").connect(settings)
