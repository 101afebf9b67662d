"""What services say to each other: facts (`Event`), another's facts as heard (`View`) and questions (`Call`).

A message class is its own registration: the name on the wire is a class keyword, and topology, metrics and
contract tests read it from there.
"""

from typing import Any, Generic, NamedTuple, TypeVar, dataclass_transform, get_args

import msgspec

Reply = TypeVar("Reply")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Lets a Struct take its wire name and traits as class keywords."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        of: str | None = None,
        subject: str | None = None,
        idempotent: bool = False,
        **struct_options: Any,
    ) -> Any:
        return super().__new__(mcls, class_name, bases, namespace, **struct_options)

    def __init__(
        cls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        of: str | None = None,
        subject: str | None = None,
        idempotent: bool = False,
        **_struct_options: Any,
    ) -> None:
        super().__init__(class_name, bases, namespace)
        cls.wire_name = name or of or ""
        cls.subject_field = subject or ""
        cls.is_idempotent = idempotent


class Event(msgspec.Struct, metaclass=MessageMeta, frozen=True, kw_only=True):
    """A published fact: `class StockReserved(Event, name="item.stock_reserved", subject="order_id")`.

    `name` is routing key and AMQP type at once; its first segment is the publisher. `subject` names the field
    that holds the id of the aggregate the fact is about.
    """


class Audited(Event):
    """Somebody of the shop did something: who, what, to what, and why.

    Each service that has something to audit names one of its own, and the unit of work that did it emits it.
    `by` is a user's id, 0 where nobody was named; `before` and `after` are what it changed.
    """

    by: int
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None = None


class View(msgspec.Struct, metaclass=MessageMeta, frozen=True, kw_only=True):
    """A consumer's own reading of another's event: `class OrderPlaced(View, of="order.placed")`.

    Declares just the fields that the consumer reads, so that a publisher may add fields freely.
    """


class Call(msgspec.Struct, Generic[Reply], metaclass=MessageMeta, frozen=True, kw_only=True):
    """A question with a typed answer: `class GetItems(Call[Page], name="item.get_many", idempotent=True)`.

    The first segment of `name` is the service that answers. `idempotent` says that asking twice does no harm,
    so the call may be sent again when the outcome of the first try is unknown.
    """


class KeptOf(msgspec.Struct, frozen=True, kw_only=True):
    """What a service keeps of a person: rows by table. Of the tables in `cut` there is more."""

    tables: dict[str, list[dict[str, Any]]]
    cut: list[str]


class Rejection(NamedTuple):
    """Why somebody who was asked by an event gives nothing, as the event that says so puts it.

    `reason` is a word that others decide by, `details` are for people.
    """

    reason: str
    details: dict[str, Any]


def service_of(name: str) -> str:
    """The service that a message name belongs to: `item` for `item.stock_reserved`."""
    return name.partition(".")[0]


def reply_type(call: type[Call[Any]]) -> Any:
    """The type that a `Call` subclass declares as its answer."""
    for base in call.__dict__.get("__orig_bases__", ()):
        if arguments := get_args(base):
            return arguments[0]
    raise TypeError(f"{call.__name__} must name its answer: class {call.__name__}(Call[Answer], ...)")


def subject_of(event: Event) -> str:
    """The id of the aggregate that an event is about, as text."""
    return str(getattr(event, type(event).subject_field))
