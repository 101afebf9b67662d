"""What gateways tell one another in passing; nobody else needs it, and nothing of it is kept."""

from shared.messages import Event


class CallersCounted(Event, name="gateway.callers_counted", subject="gateway"):
    """How many requests of whom a gateway has let in since it last said so."""

    gateway: str
    counts: dict[str, int]


class TicketUsed(Event, name="gateway.ticket_used", subject="ticket"):
    """A ticket for an event stream is used up; `ends` is when it would have ended (seconds of Unix time)."""

    ticket: str
    ends: float
