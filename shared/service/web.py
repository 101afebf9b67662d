"""Errors over HTTP: whatever goes wrong while a request is answered leaves as problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from shared.errors import FieldError, Malformed, NotFound, Problem, ProblemDetails

log = structlog.get_logger()

LONGEST_SHOWN = 200
PROBLEM_JSON = "application/problem+json"

_DETAILS = {
    404: "There is nothing at this path.",
    405: "This path does not support this method; the Allow header names those it does.",
    413: "The request body is too large.",
}
"""What to tell a person where the framework's own words say less."""


def problem_response(details: ProblemDetails, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A problem as an HTTP answer; `Retry-After` and `WWW-Authenticate` where its status asks for them."""
    headers = dict(headers or {})
    if details.retry_after is not None:
        headers["Retry-After"] = str(details.retry_after)
    if details.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return Response(
        msgspec.json.encode(details), status_code=details.status, headers=headers, media_type=PROBLEM_JSON
    )


def _from_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a request failed", method=request.method, path=_shown(request), exc_info=problem)
    return problem_response(problem.details())


def _from_validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Parameters that the framework could not read; a path that cannot name a thing names none (404)."""
    found = [entry for entry in error.extra or [] if isinstance(entry, dict)]
    errors = [
        FieldError(field=str(entry["key"]), message=str(entry.get("message", "")))
        for entry in found
        if "key" in entry
    ]
    paths = request.scope.get("path_params", {})
    if errors and all(entry.field in paths for entry in errors):
        return problem_response(NotFound(_DETAILS[404]).details())
    detail = "The request cannot be read." if errors else error.detail
    return problem_response(Malformed(detail, errors=errors).details())


def _from_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _from_surprise(request, error)
    phrase = HTTPStatus(error.status_code).phrase
    if error.status_code in (400, 404):
        kind = NotFound if error.status_code == HTTPStatus.NOT_FOUND else Malformed
        return problem_response(kind(_DETAILS.get(error.status_code, error.detail)).details())
    details = ProblemDetails(
        type=f"/problems/{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=error.status_code,
        detail=_DETAILS.get(error.status_code) or error.detail or phrase,
    )
    return problem_response(details, dict(error.headers or {}))


def _from_unreadable(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if isinstance(error, RecursionError):
        return problem_response(Malformed("The request is nested too deeply.").details())
    if isinstance(error, UnicodeDecodeError):
        return problem_response(Malformed("The request is not valid UTF-8.").details())
    return problem_response(Malformed(str(error)).details())


def _from_surprise(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of ours: told to the log in full and to the caller without its inside."""
    log.error("a request failed", method=request.method, path=_shown(request), exc_info=error)
    return problem_response(Problem("Something went wrong on our side; it has been logged.").details())


def _shown(request: Request[Any, Any, Any]) -> str:
    """A path as the log tells it: no line grows with what strangers send."""
    path = request.scope["path"]
    return path if len(path) <= LONGEST_SHOWN else f"{path[:LONGEST_SHOWN]}..."


exception_handlers: ExceptionHandlersMap = {
    Problem: _from_problem,
    ValidationException: _from_validation,
    HTTPException: _from_http,
    msgspec.DecodeError: _from_unreadable,
    UnicodeDecodeError: _from_unreadable,
    RecursionError: _from_unreadable,
    Exception: _from_surprise,
}
"""For `Litestar(exception_handlers=...)`: nothing leaves as anything but problem+json."""
