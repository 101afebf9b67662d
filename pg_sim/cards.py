"""Card numbers and how they behave. A payment key carries its card's number, so that keys need no memory."""

import secrets
from enum import StrEnum


class Manner(StrEnum):
    """How the PG treats a card."""

    APPROVE = "approve"
    DECLINE = "decline"
    HANG = "hang"
    """Never answers, and charges nothing."""
    LATE = "late"
    """Charges, and answers, when nobody waits any more."""
    LOST = "lost"
    """Charges at once, but the answer gets lost."""
    WEBHOOK_TWICE = "webhook_twice"
    WEBHOOK_LATE = "webhook_late"
    WEBHOOK_NEVER = "webhook_never"


DEFAULT = "4242424242424242"
"""Whoever shows no card pays with this one, which is good for everything."""

CARDS: dict[str, Manner] = {
    DEFAULT: Manner.APPROVE,
    "4000000000000002": Manner.DECLINE,
    "4000000000000101": Manner.HANG,
    "4000000000000119": Manner.LATE,
    "4000000000000127": Manner.LOST,
    "4000000000000135": Manner.WEBHOOK_TWICE,
    "4000000000000143": Manner.WEBHOOK_LATE,
    "4000000000000150": Manner.WEBHOOK_NEVER,
}


def new_key(card_number: str) -> str:
    """A payment key for a card, as the PG's widget would hand it to a buyer."""
    return f"pay_{card_number}_{secrets.token_hex(8)}"


def manner_of(payment_key: str) -> Manner:
    """How the card behind a key behaves; keys that are none of ours stand for the default card."""
    prefix, _, rest = payment_key.partition("_")
    number = rest.partition("_")[0] if prefix == "pay" else DEFAULT
    return CARDS.get(number, Manner.APPROVE)
