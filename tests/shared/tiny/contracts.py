"""What the tiny service says and answers, under any name: each test has exchanges and queues of its own."""

import inspect
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import msgspec

from shared.messages import Call, Event, View

Function = TypeVar("Function", bound=Callable[..., Any])


def takes(message: Any) -> Callable[[Function], Function]:
    """Says of a handler which message it takes, where a test makes that and no annotation can name it."""

    def say(handler: Function) -> Function:
        first = next(iter(inspect.signature(handler).parameters))
        handler.__annotations__[first] = message
        return handler

    return say


def module_of(*messages: Any) -> ModuleType:
    """A contracts module that declares these messages."""
    module = ModuleType(messages[0].__module__)
    vars(module).update({message.__name__: message for message in messages})
    return module


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
