"""What the tiny service says and answers, under any name: each test has exchanges and queues of its own."""

from functools import cache
from typing import Any

import msgspec

from shared.messages import Call, Event, View


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered, and what."""

    by: str
    text: str


class Contracts(msgspec.Struct, frozen=True):
    """The message classes of one tiny service."""

    name: str
    marked: Any
    """Event: `key`, `text`; about `key`."""
    noted: Any
    """Event: `key`, `text`; about `key`."""
    marked_view: Any
    noted_view: Any
    put: Any
    """Call: writes `count` marks and says `marked` for each; `how`, see `calls.py`."""
    ask: Any
    """Call that may be asked twice: no database."""
    ask_once: Any
    """Call that is not declared idempotent."""
    gather: Any
    """Call answered in lists."""
    carry: Any
    """Call done in two units of work: begins a work of the name `work`, ends it; `how` is what is between."""


@cache
def contracts(name: str) -> Contracts:
    """The messages of the tiny service called `name`."""

    class Marked(Event, name=f"{name}.marked", subject="key"):
        key: str
        text: str = ""

    class Noted(Event, name=f"{name}.noted", subject="key"):
        key: str
        text: str = ""

    class MarkedView(View, of=f"{name}.marked"):
        key: str
        text: str = ""

    class NotedView(View, of=f"{name}.noted"):
        key: str

    class Put(Call[Answered], name=f"{name}.put", idempotent=True):
        key: str
        text: str = ""
        count: int = 1
        how: str = ""

    class Ask(Call[Answered], name=f"{name}.ask", idempotent=True):
        how: str = ""
        seconds: float = 0

    class AskOnce(Call[Answered], name=f"{name}.ask_once"):
        how: str = ""
        seconds: float = 0

    class Gather(Call[Answered], name=f"{name}.gather", idempotent=True):
        key: str
        how: str = ""

    class Carry(Call[Answered], name=f"{name}.carry"):
        work: str
        how: str = ""

    return Contracts(name, Marked, Noted, MarkedView, NotedView, Put, Ask, AskOnce, Gather, Carry)
