"""Events as messages: many of one type in one body, so that a list of orders costs few messages."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.clock import utc_now
from shared.context import child_of, correlation_id, new_traceparent
from shared.database.transaction import Cause, Emitted
from shared.events import cloudevents
from shared.events.cloudevents import CloudEvent
from shared.ids import new_text_id
from shared.messages import subject_of

MESSAGE_EVENTS = 64
MESSAGE_BYTES = 256 * 1024


class OutgoingMessage(msgspec.Struct, frozen=True):
    """An AMQP message as the outbox keeps it: events of one type in one body.

    `rows` are the ids under which it stands in the table: its own, or those of all that it was joined from.
    """

    id: str
    type: str
    count: int
    subjects: str
    correlation_id: str | None
    body: bytes
    rows: tuple[str, ...]


def pack(service: str, emitted: Sequence[Emitted], causes: Sequence[Cause]) -> list[OutgoingMessage]:
    """Group events into messages: one type a message, at most 64 events or 256 KiB, order kept within a type.

    An event's cause is the received one with the same correlation id, or else the only one in hand.
    """
    by_correlation = {cause.correlation_id: cause for cause in causes}
    groups: dict[str, list[tuple[str, str | None, bytes]]] = defaultdict(list)
    time = utc_now()
    for event, sequence in emitted:
        subject = subject_of(event)
        cause = by_correlation.get(subject) or (causes[0] if len(causes) == 1 else None)
        correlation = (cause.correlation_id if cause else correlation_id()) or subject
        name = type(event).wire_name
        encoded = cloudevents.encode(
            CloudEvent(
                id=new_text_id(),
                source=f"/{service}-svc",
                type=name,
                subject=subject,
                time=time,
                correlationid=correlation,
                causationid=cause.id if cause else None,
                sequence=sequence,
                traceparent=child_of(cause.traceparent) if cause and cause.traceparent else new_traceparent(),
                data=event,
            )
        )
        groups[name].append((subject, correlation, encoded))
    return [message for name, events in groups.items() for message in _messages(name, events)]


def join(messages: Sequence[OutgoingMessage]) -> list[OutgoingMessage]:
    """The same events in as few messages as hold them, order kept within a type.

    An outage leaves many small messages, and each costs the broker and every listener as much as a full one.
    """
    groups: dict[str, list[list[OutgoingMessage]]] = defaultdict(list)
    for message in messages:
        parts = groups[message.type]
        if not parts or not _fits(parts[-1], message):
            parts.append([])
        parts[-1].append(message)
    return [_joined(part) for parts in groups.values() for part in parts]


def _fits(part: list[OutgoingMessage], more: OutgoingMessage) -> bool:
    events = sum(message.count for message in part) + more.count
    return events <= MESSAGE_EVENTS and sum(len(m.body) for m in part) + len(more.body) <= MESSAGE_BYTES


def _joined(part: list[OutgoingMessage]) -> OutgoingMessage:
    first = part[0]
    if len(part) == 1:
        return first
    correlations = {message.correlation_id for message in part}
    return OutgoingMessage(
        id=first.id,
        type=first.type,
        count=sum(message.count for message in part),
        subjects=" ".join(message.subjects for message in part),
        correlation_id=first.correlation_id if len(correlations) == 1 else None,
        body=cloudevents.join([message.body for message in part]),
        rows=tuple(row for message in part for row in message.rows),
    )


def _messages(name: str, events: list[tuple[str, str | None, bytes]]) -> list[OutgoingMessage]:
    messages: list[OutgoingMessage] = []
    part: list[tuple[str, str | None, bytes]] = []
    size = 0
    for event in events:
        if part and (len(part) == MESSAGE_EVENTS or size + len(event[2]) > MESSAGE_BYTES):
            messages.append(_message(name, part))
            part, size = [], 0
        part.append(event)
        size += len(event[2])
    if part:
        messages.append(_message(name, part))
    return messages


def _message(name: str, events: list[tuple[str, str | None, bytes]]) -> OutgoingMessage:
    correlations: set[Any] = {correlation for _, correlation, _ in events}
    message_id = new_text_id()
    return OutgoingMessage(
        id=message_id,
        type=name,
        count=len(events),
        subjects=" ".join(subject for subject, _, _ in events),
        # An AMQP message has one correlation id: only a message about one undertaking can bear it.
        correlation_id=correlations.pop() if len(correlations) == 1 else None,
        body=cloudevents.batch([encoded for _, _, encoded in events]),
        rows=(message_id,),
    )
