"""Texts that should never have been written down: members of JSON documents, which say null from then on.

What stands in the documents besides stays as it is, to the letter. `columns.forget_text` cleans tables.
"""

import re
from functools import cache

TEXT = r'"[^"\\]*(\\.[^"\\]*)*"'
"""A text in JSON, as a regular expression that Python and databases understand alike."""


def without_text(document: bytes, member: str) -> bytes:
    """A JSON document in which no member of this name holds a text, at whatever depth."""
    name = f'"{member}"'.encode()
    if name not in document:
        return document
    return _holding_text(member).sub(name + b":null", document)


@cache
def _holding_text(member: str) -> re.Pattern[bytes]:
    return re.compile(rf'"{member}"\s*:\s*{TEXT}'.encode())
