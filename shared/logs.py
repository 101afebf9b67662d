"""Logs by structlog: JSON lines, or pretty on a terminal; the correlation id stands on every line."""

import logging
import sys
from typing import Any

import structlog

from shared.context import correlation_id
from shared.masks import masked

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def configure(process: str, level: str = "INFO", style: str = "auto") -> None:
    """Send the program's logs and those of its libraries to standard error, in one shape.

    `process` is the name that this process bears everywhere, such as `order-svc#1`.
    """
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _correlating,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
        structlog.processors.format_exc_info if not pretty else _unchanged,
        _naming(process),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        # Plain tracebacks: the pretty ones print local variables, and with them passwords.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer, _masking],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries that report each step of theirs at INFO would drown what the services say.
    for chatty in ("aio_pika", "aiormq", "httpx", "httpcore", "uvicorn.error", "tortoise", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


def _masking(_logger: structlog.typing.WrappedLogger, _name: str, line: Any) -> str:
    """The last step: whatever a library or an error puts into a line, no secret of ours leaves in it."""
    return masked(str(line))


def _unchanged(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event


def _correlating(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if correlation := correlation_id():
        event.setdefault("correlation_id", correlation)
    return event


def _naming(process: str) -> structlog.typing.Processor:
    def name(
        _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["service"] = process
        return event

    return name
