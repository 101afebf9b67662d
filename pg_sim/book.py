"""The charges that the simulated PG has made, by payment key and by the shop's order number."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct


class Refusal(Struct, frozen=True):
    """Why something was not done, in the PG's words."""

    code: str
    message: str


class Charge(Struct, frozen=True, kw_only=True, rename="camel"):
    """One payment: READY was begun, DONE is charged, CANCELED given back, ABORTED never will be charged."""

    payment_key: str
    order_id: str = ""
    status: str
    total_amount: int = 0
    method: str = "카드"
    approved_at: str | None = None
    failure: Refusal | None = None


class Book:
    """All charges. With a journal, each change is appended to it, and read again at the next start."""

    def __init__(self, journal: Path | None) -> None:
        self._journal = journal
        self._by_key: dict[str, Charge] = {}
        self._by_order: dict[str, str] = {}
        if journal is not None and journal.exists():
            for line in journal.read_bytes().splitlines():
                try:
                    self._note(msgspec.json.decode(line, type=Charge))
                except msgspec.DecodeError:
                    continue  # torn by a kill in the middle of writing it: it was never answered

    def __iter__(self) -> Iterator[Charge]:
        return iter(self._by_key.values())

    def by_key(self, payment_key: str) -> Charge | None:
        """The payment with this key, if it was heard of."""
        return self._by_key.get(payment_key)

    def by_order(self, order_id: str) -> Charge | None:
        """The payment with the shop's order number, if it was heard of."""
        key = self._by_order.get(order_id)
        return self._by_key.get(key) if key is not None else None

    def confirm(self, payment_key: str, order_id: str, amount: int, *, refusal: Refusal | None) -> Charge:
        """Charge a payment, or abort it with a refusal; one that was aborted before stays so."""
        known = self._by_key.get(payment_key)
        if known is not None and known.status != "READY":
            return known
        charge = Charge(
            payment_key=payment_key,
            order_id=order_id,
            status="ABORTED" if refusal else "DONE",
            total_amount=amount,
            approved_at=None if refusal else datetime.now(UTC).isoformat(),
            failure=refusal,
        )
        self._save(charge)
        return charge

    def cancel(self, payment_key: str, reason: str) -> Charge:
        """Give a charge back; a payment that was not confirmed yet is aborted and never will be."""
        known = self._by_key.get(payment_key) or Charge(payment_key=payment_key, status="READY")
        status = {"DONE": "CANCELED", "READY": "ABORTED"}.get(known.status)
        if status is not None:
            why = Refusal("CANCELED" if status == "CANCELED" else "ABORTED", reason)
            known = msgspec.structs.replace(known, status=status, failure=why)
            self._save(known)
        return known

    def _save(self, charge: Charge) -> None:
        if self._journal is not None:
            with self._journal.open("ab") as file:
                file.write(msgspec.json.encode(charge) + b"\n")
        self._note(charge)

    def _note(self, charge: Charge) -> None:
        self._by_key[charge.payment_key] = charge
        if charge.order_id:
            self._by_order[charge.order_id] = charge.payment_key
