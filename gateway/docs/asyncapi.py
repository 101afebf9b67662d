"""The AsyncAPI 3 document of all messages, made from what the services register. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.operators.directory import Known
from shared.broker import RPC_EXCHANGE, rpc_queue
from shared.events import CONTENT_TYPE, CloudEvent
from shared.messages import service_of
from shared.service.describe import Answered, Heard, Published, Registrations

ENVELOPE = "CloudEvent"
_INSIDE = {"x-handler", "x-batch"}
"""Of an operation, what concerns nobody outside."""
_ABOUT = (
    "Events and RPC calls of Sagamart's services over RabbitMQ, derived from their registrations."
    " Events are CloudEvents 1.0 in JSON batches; delivery is at least once, in any order."
)


def document(services: Sequence[Known], *, version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of these services. One that is away is shown as it was, and marked."""
    described = [(known, known.registrations) for known in services if known.registrations is not None]
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    schemas: dict[str, Any] = {ENVELOPE: _envelope()}
    for _, made_of in described:
        schemas |= made_of.schemas
        for event in made_of.publishes:
            channels[event.event] = _event_channel(event)
        if made_of.answers:
            channels |= _call_channels(made_of)
    for known, made_of in described:
        away = {} if known.present else {"x-last-seen": _seen(known)}
        for name, operation in _operations(made_of, channels):
            operations[name] = {**operation, **away}
    gaps = [
        {"service": known.service, "described": known.registrations is not None, "last-seen": _seen(known)}
        for known in services
        if not known.present
    ]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sagamart",
            "version": version,
            "description": _ABOUT,
            **({"x-services-away": gaps} if gaps else {}),
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas},
    }


def for_the_public(spec: Mapping[str, Any], is_public: Callable[[str], bool]) -> dict[str, Any]:
    """What of a document concerns those outside: the events and the calls that are public, by their names.

    Who hears an event, from which queue and by which function, is not told.
    """
    operations: dict[str, Any] = {}
    for name, operation in spec["operations"].items():
        told_or_answered = name.rpartition(".publishes.")[2].rpartition(".answers.")[2]
        if not is_public(told_or_answered):
            continue
        if operation["action"] == "send" or "reply" in operation:
            operations[name] = {key: one for key, one in operation.items() if key not in _INSIDE}
    told = {one["$ref"] for operation in operations.values() for one in _messages(operation)}
    channels: dict[str, Any] = {}
    for name, channel in spec["channels"].items():
        messages = {
            key: one for key, one in channel["messages"].items() if _message(name, key)["$ref"] in told
        }
        if messages:
            channels[name] = {**channel, "messages": messages}
    schemas = _needed(channels, spec["components"]["schemas"])
    return {**spec, "channels": channels, "operations": operations, "components": {"schemas": schemas}}


def _messages(operation: Mapping[str, Any]) -> Iterable[Mapping[str, str]]:
    return [*operation["messages"], *operation.get("reply", {}).get("messages", ())]


def _needed(channels: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas that are referred to from these channels, and from one another."""
    found: set[str] = set()
    ahead: list[Any] = [channels]
    while ahead:
        text = msgspec.json.encode(ahead.pop()).decode()
        for name in {one for one in schemas if f'"#/components/schemas/{one}"' in text} - found:
            found.add(name)
            ahead.append(schemas[name])
    return {name: schema for name, schema in schemas.items() if name in found}


def _event_channel(event: Published) -> dict[str, Any]:
    return {
        "address": event.event,
        "title": event.event,
        "description": event.about,
        "messages": {event.event: _event_message(event)},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": event.exchange,
                    "type": "topic",
                    "durable": True,
                    "autoDelete": False,
                },
                "bindingVersion": "0.3.0",
            }
        },
    }


def _event_message(event: Published) -> dict[str, Any]:
    data = {"type": {"const": event.event}, "data": event.schema}
    return {
        "name": event.event,
        "summary": event.about,
        "contentType": CONTENT_TYPE,
        "correlationId": {
            "description": "What the event belongs to: the order's id, where it concerns one order.",
            "location": "$message.header#/correlation_id",
        },
        "payload": {
            "type": "array",
            "minItems": 1,
            "items": {"allOf": [{"$ref": f"#/components/schemas/{ENVELOPE}"}, {"properties": data}]},
        },
        "bindings": {"amqp": {"messageType": event.event, "bindingVersion": "0.3.0"}},
        "x-subject": event.subject,
    }


def _call_channels(made_of: Registrations) -> dict[str, Any]:
    """The queue of calls to a service, and the way its answers go: to whatever queue the caller named."""
    requests = {one.call: _call_message(one, one.request, one.about) for one in made_of.answers}
    replies = {
        one.call: _call_message(one, one.reply, f"The answer to {one.call}.") for one in made_of.answers
    }
    return {
        rpc_queue(made_of.service): {
            "address": made_of.service,
            "title": f"RPC calls answered by {made_of.service}",
            "description": "Grouped: a message holds an array of requests, whose `data` is described here.",
            "messages": requests,
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {
                        "name": RPC_EXCHANGE,
                        "type": "direct",
                        "durable": True,
                        "autoDelete": False,
                    },
                    "bindingVersion": "0.3.0",
                }
            },
        },
        _answers_channel(made_of.service): {
            "address": None,
            "title": f"Answers of {made_of.service}",
            "description": "Goes to the `reply_to` of the request; an array of answers, each with its `id`.",
            "messages": replies,
        },
    }


def _call_message(answered: Answered, schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {
        "name": answered.call,
        "summary": about,
        "contentType": "application/json",
        "payload": schema,
    }


def _operations(made_of: Registrations, channels: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    service = made_of.service
    for event in made_of.publishes:
        yield (
            f"{service}.publishes.{event.event}",
            {
                "action": "send",
                "channel": _channel(event.event),
                "summary": event.about,
                "messages": [_message(event.event, event.event)],
                "x-service": service,
            },
        )
    for heard in (*made_of.hears, *made_of.taps):
        events = [name for name in channels if _fits(heard, name)]
        for event in events:
            yield f"{service}.hears.{event}", _hearing(service, heard, event)
    for answered in made_of.answers:
        yield (
            f"{service}.answers.{answered.call}",
            {
                "action": "receive",
                "channel": _channel(rpc_queue(service)),
                "summary": answered.about,
                "messages": [_message(rpc_queue(service), answered.call)],
                "reply": {
                    "address": {"location": "$message.header#/reply_to"},
                    "channel": _channel(_answers_channel(service)),
                    "messages": [_message(_answers_channel(service), answered.call)],
                },
                "x-service": service,
                "x-handler": answered.handler,
                "x-batch": answered.batch,
                "x-idempotent": answered.idempotent,
            },
        )


def _hearing(service: str, heard: Heard, event: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": _channel(event),
        "summary": heard.about,
        "messages": [_message(event, event)],
        "x-service": service,
        "x-handler": heard.handler,
        "x-batch": heard.batch,
        **({"x-queue": heard.queue} if heard.queue else {"x-tap": True}),
        **({"x-reads": heard.reads[event]} if event in heard.reads else {}),
    }


def _fits(heard: Heard, event: str) -> bool:
    """Whether a channel is an event that is heard, by its name or with all of its publisher's."""
    if heard.event.endswith(".#"):
        return service_of(event) == service_of(heard.event)
    return event == heard.event


def _channel(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{_escaped(name)}"}


def _message(channel: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{_escaped(channel)}/messages/{_escaped(name)}"}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _answers_channel(service: str) -> str:
    return f"rpc.{service}.answers"


def _seen(known: Known) -> str | None:
    return known.seen_at.isoformat() if known.seen_at else None


def _envelope() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([CloudEvent[Any]])
    return next(iter(components.values()))
