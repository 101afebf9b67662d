"""Entity tags: whether a client has already what it asks for."""

from typing import Annotated

from litestar.params import HeaderParameter

IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(name="If-None-Match", description="The ETag of the response that you have."),
]


def names(header: str | None, tag: str) -> bool:
    """Whether an `If-None-Match` names this tag; comparison is weak (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    offered = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in offered or tag in offered
