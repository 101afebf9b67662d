"""Requests as the simulator reads them: the path in its parts as they were sent, decoded one by one."""

from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from litestar import Request, Response
from litestar.types import HTTPScope

from pg_sim.refusals import Refusal, Refused, status_of

AnyRequest = Request[Any, Any, Any]
W = TypeVar("W", bound=msgspec.Struct)

LONGEST_BODY = 64 * 1024


def path_of(scope: HTTPScope) -> list[str]:
    """The parts of the path; an escaped slash belongs to its part, as does every other escaped character."""
    raw = scope["raw_path"] or scope["path"].encode()
    return [unquote(part) for part in raw.decode("latin-1").strip("/").split("/")]


async def body_of(request: AnyRequest) -> bytes:
    """The body. Raises `Refused` for one that is too long to be meant."""
    body = await request.body()
    if len(body) > LONGEST_BODY:
        raise Refused("INVALID_REQUEST", f"The body has more than {LONGEST_BODY:,} bytes.")
    return body


def decoded(body: bytes, kind: type[W]) -> W:
    """A JSON body. Raises `Refused`, which says what is wrong in it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("INVALID_REQUEST", f"The body is not what is expected: {error}.") from error


def refusing(why: Refusal) -> Response[Any]:
    """The answer to what is not done."""
    return Response(why, status_code=status_of(why))
