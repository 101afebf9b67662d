"""Identifiers: UUIDv7, so that ids sort by the time they were made and indexes grow at their end."""

from datetime import datetime
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562): its first 48 bits are the Unix time in milliseconds."""
    return uuid7()


def new_text_id() -> str:
    """The same as text, made at once: for the ids of messages, of which there are many."""
    return str(uuid_utils.uuid7())


def least_id(moment: datetime) -> UUID:
    """The least id that can have been made at a moment; of moments beyond all ids the first or the last."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)
