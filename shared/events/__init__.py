"""Facts on their way: out of a unit of work, over the broker, into another service's."""

from shared.database.forgetting import without_text
from shared.events.claims import Claim, Claims
from shared.events.cloudevents import CONTENT_TYPE, CloudEvent, Undecoded, split
from shared.events.outbox import Outbox
from shared.events.passing import Passing
from shared.events.subscription import REDRIVES_HEADER, UNREADABLE

__all__ = [
    "CONTENT_TYPE",
    "REDRIVES_HEADER",
    "UNREADABLE",
    "Claim",
    "Claims",
    "CloudEvent",
    "Outbox",
    "Passing",
    "Undecoded",
    "split",
    "without_text",
]
