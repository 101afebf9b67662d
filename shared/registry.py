"""What a service is made of, as data: the calls it answers, the events it hears, the jobs it runs.

Handlers are plain functions. Their first parameter is the message (or a list of messages), and its annotation
says which: nothing is registered under another type than the handler reads. The other parameters are given to
it by their annotation: `Transaction`, `Reader`, `Database`, `Rpc`, or the service's settings. A handler of a
call that works in several units of work may also ask for `Idempotency`, the call's key.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum
from types import UnionType
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

import msgspec
from aio_pika.abc import AbstractConnection

from shared.database.idempotency import Idempotency
from shared.database.locks import Rows
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.errors import Problem
from shared.messages import Call, View, reply_type

Handler = Callable[..., Awaitable[Any]]


Touches = Callable[[Any], Sequence[Rows]]
"""Says which rows an event, as its consumer views it, has its handler lock."""


class Rank(IntEnum):
    """Which calls find room where others are refused: orders before all, quotes and exports last."""

    FIRST = 0
    USUAL = 1
    LIST = 2
    COSTLY = 3


class Answer(msgspec.Struct, frozen=True):
    """A call and the function that answers it; with `batch` above 1 it answers lists of calls.

    `again` makes of a reply the call that is kept in its place, and that answers when its key comes again.
    At most `most` calls are under way at once; None leaves that to what their times show.
    """

    call: type[Call[Any]]
    handler: Handler
    batch: int
    reply: Any
    again: Callable[[Any], Call[Any]] | None = None
    rank: Rank = Rank.USUAL
    most: int | None = None

    @property
    def asks_again(self) -> type[Call[Any]] | None:
        """The call that `again` makes."""
        return get_type_hints(self.again)["return"] if self.again is not None else None


class Hearing(msgspec.Struct, frozen=True):
    """An event, as its consumer views it, and the function that handles it (or lists of it).

    `heard` is the event's name. Without a `view` it is the name of a publisher, all of whose events are
    handled, as `CloudEvent`s whose data nobody has read yet; `reads` are views of those that will be read.
    """

    heard: str
    view: type[View] | None
    handler: Handler
    batch: int
    once: bool
    reads: tuple[type[View], ...] = ()
    touches: Touches | None = None

    @property
    def views(self) -> tuple[type[View], ...]:
        """What is read in the events: what their publishers must not take away."""
        return self.reads if self.view is None else (self.view,)


class Tap(msgspec.Struct, frozen=True):
    """An event that every process hears for itself, while it runs, with no promise of delivery."""

    view: type[View]
    handler: Callable[[Any], None]


class Job(msgspec.Struct, frozen=True):
    """Something done again and again, on every replica; it must be safe with several at once."""

    name: str
    seconds: float
    handler: Handler


class Attachment(Protocol):
    """Something of a service's own that stands on a connection to the broker, besides events and calls.

    It is made once a process with the process's name, gets each fresh connection, and is given to handlers
    that ask for it by its class. `role` names the connection.
    """

    role: str

    def __init__(self, process: str) -> None: ...

    async def set_up(self, connection: AbstractConnection) -> None:
        """Take a fresh connection."""

    async def tear_down(self) -> None:
        """The connection is gone."""


def answer(
    handler: Handler,
    *,
    batch: int = 1,
    again: Callable[[Any], Call[Any]] | None = None,
    rank: Rank = Rank.USUAL,
    most: int | None = None,
) -> Answer:
    """Answer the call that `handler` takes.

    With `batch`, the handler takes a list of at most so many calls and returns as many replies, or
    `Problem`s, in the same order; calls that arrive together then share one transaction.

    A call that comes again under its idempotency key is answered as the first time. With `again`, which makes
    of a reply another call to this service, it is answered what that one answers now.

    Where there is more to do than can be done in time, calls of a lower `rank` are refused first. Of a call
    with a bound of its own never more than `most` are under way at once.

    Raises `TypeError` if the handler's annotations do not say one call and the reply that this call declares.
    """
    _check(handler, keyed=batch == 1)
    kinds = _taken(handler, batch)
    if len(kinds) != 1 or not _is_a(kinds[0], Call):
        raise TypeError(f"{handler.__name__} takes {_said(*kinds)}; to answer, it must take one Call")
    call = kinds[0]
    reply = reply_type(call)
    _check_reply(handler, reply, in_lists=batch > 1)
    if again is not None:
        _check_again(again, reply)
    return Answer(call, handler, batch, reply, again, rank, most)


def hear(
    handler: Handler, *, batch: int = 1, once: bool = False, touches: Touches | None = None
) -> tuple[Hearing, ...]:
    """Handle the events whose views `handler` takes; its transaction commits before the acknowledgement.

    With `batch`, the handler takes a list of at most so many. A handler of several events takes a union of
    views, and there is one hearing for each. `once` keeps the ids of events taken in (the inbox), for
    handlers that have no business key which makes a second arrival harmless. A handler that asks for no
    `Transaction` runs in none, and so may make calls; since nothing can make it and an inbox commit together,
    it cannot be `once`.

    `touches` says of one event which rows the handler locks for it. Lists then wait a second for locks and no
    longer: the events whose rows somebody else holds come again a little later, and the others go on.

    Raises `TypeError` if the handler's annotation does not say views.
    """
    _check(handler)
    views = _views(handler, batch)
    if once and Transaction not in _wishes(handler, messages=1).values():
        raise TypeError(f"{handler.__name__} must ask for the Transaction in which it is done once")
    return tuple(Hearing(view.wire_name, view, handler, batch, once, touches=touches) for view in views)


def hear_everything(
    publisher: str, handler: Handler, *, batch: int, reads: Sequence[type[View]] = ()
) -> tuple[Hearing, ...]:
    """Handle every event of a publisher, also those that it will only invent later.

    The handler takes lists of `shared.events.cloudevents.Undecoded`, so `batch` must be above 1. `reads` says
    which of the events it looks into, and at what.
    """
    _check(handler)
    kinds = _taken(handler, batch)
    if batch == 1 or any(_is_a(kind, View | Call) for kind in kinds):
        raise TypeError(f"{handler.__name__} must take lists of Undecoded, to hear everything of {publisher}")
    return (Hearing(publisher, None, handler, batch, once=False, reads=tuple(reads)),)


def together(hearings: Sequence[Hearing]) -> list[list[Hearing]]:
    """What is handled together: events that one function takes in lists share its lists, others are alone."""
    shared: dict[Any, list[Hearing]] = {}
    for number, hearing in enumerate(hearings):
        in_lists = hearing.batch > 1 and not hearing.once
        shared.setdefault(hearing.handler if in_lists else number, []).append(hearing)
    return list(shared.values())


def tap(handler: Callable[[Any], None]) -> tuple[Tap, ...]:
    """Listen in on the events whose views `handler` takes, in this process alone; for waiting, no more.

    Raises `TypeError` if the handler's annotation does not say views.
    """
    return tuple(Tap(view, handler) for view in _views(handler, batch=1))


def every(seconds: float, handler: Handler, *, name: str | None = None) -> Job:
    """Run `handler` again and again, `seconds` after its last end."""
    _check(handler, messages=0)
    return Job(name or handler.__name__, seconds, handler)


class Wiring:
    """Gives handlers what they ask for by annotation."""

    def __init__(self, provided: dict[type, Any]) -> None:
        self._provided = provided

    def wants(self, handler: Handler, kind: type) -> bool:
        """Whether a parameter of `handler` is annotated with `kind`."""
        return kind in _wishes(handler, messages=1).values() or kind in _wishes(handler, messages=0).values()

    def wants_unit(self, handler: Handler) -> bool:
        """Whether `handler` is to run inside a unit of work, rather than make its own or none."""
        return self.wants(handler, Transaction) or self.wants(handler, Reader)

    def bind(self, handler: Handler, *, messages: int = 1) -> Callable[..., Awaitable[Any]]:
        """`handler` with all given but its messages, and the keywords `unit` and `idempotency`.

        Those are its unit of work and the key of the call; one that it does not ask for is not given to it.
        """
        wishes = _wishes(handler, messages=messages)
        unit_parameter = next((n for n, kind in wishes.items() if kind in (Transaction, Reader)), None)
        key_parameter = next((n for n, kind in wishes.items() if kind is Idempotency), None)
        given: dict[str, Any] = {}
        for name, kind in wishes.items():
            if name in (unit_parameter, key_parameter):
                continue
            if kind not in self._provided:
                raise TypeError(
                    f"{handler.__name__} asks for {name}: {kind}, which this service does not have"
                )
            given[name] = self._provided[kind]

        def call(
            *arguments: Any, unit: Reader | None = None, idempotency: Idempotency | None = None
        ) -> Awaitable[Any]:
            if key_parameter is not None:
                return handler(*arguments, **given, **{key_parameter: idempotency})
            if unit_parameter is None:
                return handler(*arguments, **given)
            return handler(*arguments, **given, **{unit_parameter: unit})

        return call


def _wishes(handler: Handler, *, messages: int) -> dict[str, Any]:
    hints = get_type_hints(handler)
    names = list(inspect.signature(handler).parameters)[messages:]
    return {name: hints.get(name, Any) for name in names}


def _taken(handler: Callable[..., Any], batch: int) -> tuple[Any, ...]:
    """The types of message that a handler takes; raises if it takes lists and `batch` says otherwise."""
    names = list(inspect.signature(handler).parameters)
    annotation = get_type_hints(handler).get(names[0]) if names else None
    if annotation is None:
        raise TypeError(f"{handler.__name__} must say by annotation which message its first parameter is")
    takes_lists = get_origin(annotation) is list
    if takes_lists and batch == 1:
        raise TypeError(f"{handler.__name__} takes lists, so say how long they may be: batch=128")
    if batch > 1 and not takes_lists:
        raise TypeError(
            f"{handler.__name__} takes {_said(annotation)}; with batch={batch} it must take a list of them"
        )
    if batch < 1:
        raise TypeError(f"{handler.__name__} cannot take lists of {batch}")
    return _members(get_args(annotation)[0] if takes_lists else annotation)


def _views(handler: Callable[..., Any], batch: int) -> tuple[type[View], ...]:
    kinds = _taken(handler, batch)
    for kind in kinds:
        if not _is_a(kind, View):
            raise TypeError(f"{handler.__name__} takes {_said(kind)}; to hear events, it must take Views")
    return kinds


def _check_reply(handler: Handler, reply: Any, *, in_lists: bool) -> None:
    returned = get_type_hints(handler).get("return", Any)
    if in_lists:
        listed = get_args(returned)[0] if get_origin(returned) in (list, Sequence) else Any
        said = set(_members(listed)) - {Problem}
    else:
        said = set(_members(returned))
    if not said <= set(_members(reply)):
        wanted = f"a list of {_said(reply)} or Problem" if in_lists else _said(reply)
        raise TypeError(
            f"{handler.__name__} says that it returns {_said(returned)}; its call is answered {wanted}"
        )


def _check_again(again: Callable[[Any], Call[Any]], reply: Any) -> None:
    hints = get_type_hints(again)
    [taken, *_] = [hints.get(name) for name in inspect.signature(again).parameters] or [None]
    if taken != reply or not _is_a(hints.get("return"), Call):
        raise TypeError(f"{again.__name__} must make a Call of {_said(reply)}, and say so by its annotations")


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_a(kind: Any, base: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _said(*kinds: Any) -> str:
    return " | ".join(kind.__name__ if isinstance(kind, type) else str(kind) for kind in kinds)


def _check(handler: Handler, *, messages: int = 1, keyed: bool = False) -> None:
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"{handler.__name__} must be an async function")
    kinds = list(_wishes(handler, messages=messages).values())
    if sum(kind in (Transaction, Reader, Database) for kind in kinds) > 1:
        raise TypeError(f"{handler.__name__} may ask for one of Transaction, Reader and Database")
    if Idempotency in kinds and (not keyed or Transaction in kinds or Reader in kinds):
        raise TypeError(
            f"{handler.__name__} cannot ask for Idempotency: it is for calls, taken one by one, whose handler"
            " works in several units of work; all others need not know of keys"
        )
