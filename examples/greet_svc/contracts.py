"""What the greet service publishes, and the calls it answers."""

import msgspec

from shared.messages import Call, Event


class Greeted(Event, name="greet.greeted", subject="name"):
    """Somebody has been greeted."""

    name: str


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """What is said to somebody, and how often they have been greeted so far."""

    text: str
    times: int


class Greet(Call[Greeting], name="greet.greet"):
    """Greet somebody."""

    name: str
