"""What is being worked on: correlation id and trace of the current task, carried by context variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import getrandbits

_correlation: ContextVar[str | None] = ContextVar("correlation", default=None)
_trace: ContextVar[str | None] = ContextVar("trace", default=None)


def correlation_id() -> str | None:
    """The id that ties together all messages of one undertaking."""
    return _correlation.get()


def traceparent() -> str:
    """The W3C `traceparent` of the work in hand; a new trace where there is none."""
    return _trace.get() or new_traceparent()


def new_traceparent() -> str:
    """A fresh, sampled trace context (W3C Trace Context, version 00)."""
    return f"00-{getrandbits(128):032x}-{getrandbits(64):016x}-01"


@contextmanager
def working_on(correlation: str | None, trace: str | None = None) -> Iterator[None]:
    """Everything logged, called and emitted inside belongs to this correlation id and trace."""
    correlation_token = _correlation.set(correlation)
    trace_token = _trace.set(trace)
    try:
        yield
    finally:
        _trace.reset(trace_token)
        _correlation.reset(correlation_token)


def child_of(trace: str) -> str:
    """The same trace, one span further on."""
    return f"{trace[:36]}{getrandbits(64):016x}-01"
