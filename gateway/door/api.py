"""What the routes have in common: kinds of parameters, and how their answers are described in OpenAPI."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from litestar.openapi import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from shared.errors import FieldError, Malformed, ProblemDetails, RuleBroken
from shared.service.web import PROBLEM_JSON

Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1, description="Its id.")]
"""A whole-number id in a path; one that cannot be is 404."""
PageSize = Annotated[int, QueryParameter(ge=1, le=100, description="How many at most.")]
LongPageSize = Annotated[int, QueryParameter(ge=1, le=200, description="How many at most.")]
After = Annotated[
    int | None,
    QueryParameter(ge=0, le=2**63 - 1, description="Continue after this id: the `next` of a page."),
]
Why = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
"""The reason for something that a person does about money; more than blanks."""

_SAYS = {
    400: "The request cannot be read; `errors` says where and why.",
    401: "No access token, or one that is not valid.",
    403: "Your role does not allow this.",
    404: "It does not exist, or is not yours.",
    409: "Not possible in the present state.",
    412: "It has been changed in the meantime.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON.",
    422: "It breaks a rule; `errors` names the fields.",
    428: "If-Match is missing.",
    429: "Too many requests; Retry-After says when to try again.",
    503: "A service is unavailable; Retry-After says when to try again.",
}
BODY = (400, 413, 415, 422)
"""What can be wrong with a body."""


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The error answers of a route, for its description."""
    return {
        status: _spec(ProblemDetails, _SAYS[status], PROBLEM_JSON)
        for status in sorted({*statuses, 422, 429, 503})
    }


def also(status: int, kind: Any, description: str = "") -> dict[int, ResponseSpec]:
    """Another good answer of a route, for its description."""
    return {status: _spec(kind, description or HTTPStatus(status).description, "application/json")}


def _spec(kind: Any, description: str, media_type: str) -> ResponseSpec:
    return ResponseSpec(kind, generate_examples=False, description=description, media_type=media_type)


def parse_ids(name: str, text: str, *, most: int = 200) -> list[int]:
    """Comma-separated ids, as a query parameter gives them.

    Raises `Malformed` where one is no id, `RuleBroken` where there are more than `most`.
    """
    parts = text.split(",")
    if not all(
        part.isascii() and part.isdigit() and len(part) < 20 and 0 < int(part) < 2**63 for part in parts
    ):
        error = FieldError(field=name, message="Expected ids, comma-separated, such as 1,2,3")
        raise Malformed("A query parameter cannot be read.", errors=[error])
    if len(parts) > most:
        error = FieldError(field=name, message=f"Expected at most {most} ids")
        raise RuleBroken("These are too many ids.", errors=[error])
    return [int(part) for part in parts]


def parse_moment(name: str, text: str | None) -> datetime | None:
    """A time in a query; a date is its midnight, and a time without a zone is UTC. Raises `Malformed`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if not 1970 <= moment.astimezone(UTC).year <= 9998:
            raise ValueError
    except (ValueError, OverflowError):
        error = FieldError(field=name, message="Expected a time, such as 2026-01-31T12:00:00Z, or a date")
        raise Malformed("A query parameter cannot be read.", errors=[error]) from None
    return moment
