"""The bodies of call messages: arrays of requests, arrays of answers, as JSON that a person can read."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from shared.database.idempotency import Key
from shared.errors import ProblemDetails

CONTENT_TYPE = "application/json"
GROUP_CALLS = 64
GROUP_BYTES = 256 * 1024

TIME_LEFT_HEADER = "x-time-left-ms"
CORRELATION_HEADER = "x-correlation-id"
TRACE_HEADER = "traceparent"
KEY_HEADER = "x-idempotency"

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What bytes that are no message of ours make a decoder raise: bad JSON, bad UTF-8, JSON too deep."""


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call. With a `key` it is done once, however often it comes.

    `left_ms` milliseconds after its arrival nobody waits for it any more: so much its caller had left when it
    was handed to the link. Callers of older versions do not say.
    """

    id: str
    call: str
    left_ms: int | None = None
    correlationid: str | None = None
    traceparent: str | None = None
    key: Key | None = None
    data: msgspec.Raw


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a call: its reply, unless there is a problem.

    One that is not `begun` was put aside unread: nothing has been done, and it may be sent another way.
    """

    id: str
    begun: bool = True
    data: msgspec.Raw = msgspec.Raw(b"null")
    problem: ProblemDetails | None = None


T = TypeVar("T")


def parts(group: Sequence[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """A group as messages carry it: at most `GROUP_CALLS` and `GROUP_BYTES` each, order kept."""
    part: list[T] = []
    size = 0
    for one in group:
        length = size_of(one)
        if part and (len(part) == GROUP_CALLS or size + length > GROUP_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += length
    if part:
        yield part


encode = msgspec.json.Encoder().encode
decode_requests = msgspec.json.Decoder(list[Request]).decode
decode_outcomes = msgspec.json.Decoder(list[Outcome]).decode
decode_key = msgspec.json.Decoder(Key).decode
