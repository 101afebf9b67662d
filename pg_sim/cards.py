"""The test cards and how the PG treats each. This table is the only place that says it."""

from enum import StrEnum

from msgspec import Struct


class Manner(StrEnum):
    """How the PG treats a card."""

    APPROVE = "approve"
    DECLINE = "decline"
    HANG = "hang"
    LATE = "late"
    LOST = "lost"
    WEBHOOK_TWICE = "webhook_twice"
    WEBHOOK_LATE = "webhook_late"
    WEBHOOK_NEVER = "webhook_never"
    CANCEL_REFUSED = "cancel_refused"
    TEMPORARY_ERRORS = "temporary_errors"
    CANCELS_PART = "cancels_part"
    CANCELS_WHOLE = "cancels_whole"


class OverallManner(StrEnum):
    """How the PG treats everybody, whatever the card, until a person says otherwise."""

    OFF = "off"
    DECLINE = "decline"
    HANG = "hang"
    REFUSE_CANCELLATIONS = "refuse_cancellations"
    LOSE_ANSWERS = "lose_answers"


class Card(Struct, frozen=True):
    """A card number, and what happens to payments with it."""

    number: str
    manner: Manner
    description: str


GOOD = "4242424242424242"
"""Whoever shows no card pays with this one."""

TEMPORARY_ERRORS = 2
"""How many confirmations fail before a card with temporary errors is charged."""

CARDS: dict[str, Card] = {
    card.number: card
    for card in (
        Card(GOOD, Manner.APPROVE, "good"),
        Card("4000000000000002", Manner.DECLINE, "declined"),
        Card("4000000000000101", Manner.HANG, "the request times out; no charge"),
        Card("4000000000000119", Manner.LATE, "charged, but the response arrives after our timeout"),
        Card("4000000000000127", Manner.LOST, "charged at once, but the response gets lost"),
        Card("4000000000000135", Manner.WEBHOOK_TWICE, "good; its notices come twice"),
        Card("4000000000000143", Manner.WEBHOOK_LATE, "good; its notices come late"),
        Card("4000000000000150", Manner.WEBHOOK_NEVER, "good; its notices never come"),
        Card("4000000000000168", Manner.CANCEL_REFUSED, "good; a cancellation is refused permanently"),
        Card("4000000000000176", Manner.TEMPORARY_ERRORS, "a temporary error twice, then good"),
        Card("4000000000000184", Manner.CANCELS_PART, "charged; a moment later the PG cancels half of it"),
        Card("4000000000000192", Manner.CANCELS_WHOLE, "charged; a moment later the PG cancels all of it"),
    )
}


def card_of(number: str) -> Card:
    """The card with this number; one that the table does not name is good."""
    return CARDS.get(number) or Card(number, Manner.APPROVE, CARDS[GOOD].description)


def manner_of(number: str) -> Manner:
    """How the PG treats the card with this number."""
    return card_of(number).manner
