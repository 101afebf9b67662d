"""The errors that services tell each other and their callers, as one tree.

    Problem
    ├── Malformed              400  the request cannot be read
    ├── Unauthorized           401  who are you?
    ├── Forbidden              403  not for your role
    ├── NotFound               404  no such thing, or not yours
    ├── Conflict               409  clashes with the state of things
    │   └── StillRunning       409  the first request with this Idempotency-Key has not ended (Retry-After)
    ├── Stale                  412  If-Match names an older version
    ├── RuleBroken             422  readable, but against a rule
    ├── PreconditionRequired   428  If-Match is missing
    ├── TooMany                429  slow down (Retry-After)
    ├── CallRefused            403  a call over HTTP that is not taken
    │   ├── CallerUnknown      401  it bears no token of a service, or none that counts
    │   ├── CallerNotAllowed   403  it comes from one who may not make it
    │   ├── CallNotJson        415  it is sent as something else
    │   └── HostUnknown        421  it is sent to a host that the service is not
    └── Unavailable            503  a service is away; nothing was done (Retry-After)
        ├── Overloaded         503  there is more to do than can be done in time; nothing was done
        └── OutcomeUnknown     503  the connection broke: it may or may not have been done

Each is a problem detail of RFC 9457 with a stable `type`; they cross borders as data, not as pickles.
"""

import random
from typing import Any, ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One bad field: where it stands (`lines[0].quantity`) and what is allowed."""

    field: str
    message: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem on the wire (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    retry_after: int | None = None


class Problem(Exception):
    """An error that its caller may see. Raise a subclass; `detail` is written for a person."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    default_retry_after: ClassVar[int | None] = None

    def __init__(
        self, detail: str, *, errors: list[FieldError] | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.retry_after = retry_after if retry_after is not None else self.default_retry_after

    def details(self) -> ProblemDetails:
        """This problem as data, ready for the wire."""
        return ProblemDetails(
            type=f"/problems/{self.slug}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            errors=self.errors,
            retry_after=self.retry_after,
        )


class Malformed(Problem):
    """The request cannot be read: bad syntax, a wrong type, an unknown parameter."""

    status, slug, title = 400, "malformed", "Malformed request"


class Unauthorized(Problem):
    """No credentials, or none that count."""

    status, slug, title = 401, "unauthorized", "Sign in first"


class Forbidden(Problem):
    """Signed in, but the role does not allow it."""

    status, slug, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    """No such thing, or it belongs to somebody else."""

    status, slug, title = 404, "not-found", "Not found"


class Conflict(Problem):
    """The request clashes with the state of things, such as a name already taken."""

    status, slug, title = 409, "conflict", "Conflict"


class StillRunning(Conflict):
    """The first request with the same Idempotency-Key has not ended yet; send it again later."""

    slug, title = "still-running", "Still running"
    default_retry_after = 1

    def __init__(
        self,
        detail: str = "The first request with this Idempotency-Key is still running; send this again later.",
        *,
        errors: list[FieldError] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail, errors=errors, retry_after=retry_after)


class Stale(Problem):
    """`If-Match` names a version that is no longer current."""

    status, slug, title = 412, "stale-version", "Changed in the meantime"


class RuleBroken(Problem):
    """Readable, but against a rule of the business."""

    status, slug, title = 422, "rule-broken", "Rule broken"


class PreconditionRequired(Problem):
    """The request must say which version it means (`If-Match`)."""

    status, slug, title = 428, "precondition-required", "Precondition required"


class TooMany(Problem):
    """Too many tries; `retry_after` seconds from now is soon enough."""

    status, slug, title = 429, "too-many-requests", "Too many requests"
    default_retry_after = 30


class CallRefused(Problem):
    """A call over HTTP that is not taken: nothing was done. To who made it for somebody, it is no answer."""

    status, slug, title = 403, "call-refused", "Call refused"


class CallerUnknown(CallRefused):
    """A call over HTTP without the token of a service, or with one that does not count."""

    status, slug, title = 401, "caller-unknown", "Caller unknown"


class CallerNotAllowed(CallRefused):
    """A call over HTTP from a service, or a page, that may not make it."""

    status, slug, title = 403, "caller-not-allowed", "Caller not allowed"


class CallNotJson(CallRefused):
    """A call over HTTP that is sent as something else than JSON."""

    status, slug, title = 415, "call-not-json", "Call is not JSON"


class HostUnknown(CallRefused):
    """A call over HTTP whose `Host` is none of the service's names."""

    status, slug, title = 421, "host-unknown", "Host unknown"


class Unavailable(Problem):
    """The service asked for is away, and nothing was done."""

    status, slug, title = 503, "service-unavailable", "Service unavailable"
    default_retry_after = 2


class Overloaded(Unavailable):
    """There is more to do than can be done in time, and this was not begun."""

    slug, title = "overloaded", "Overloaded"

    def __init__(
        self,
        detail: str = "There is more to do than can be done in time; try again later.",
        *,
        errors: list[FieldError] | None = None,
        retry_after: int | None = None,
    ) -> None:
        # Not the same for all, lest all who were refused come back together.
        after = retry_after or random.randint(1, 3)  # noqa: S311  no secret
        super().__init__(detail, errors=errors, retry_after=after)


class OutcomeUnknown(Unavailable):
    """The connection broke while a call was under way: it may or may not have been done."""

    slug, title = "outcome-unknown", "Outcome unknown"


def _family(root: type[Problem]) -> dict[str, type[Problem]]:
    known = {f"/problems/{root.slug}": root}
    for child in root.__subclasses__():
        known |= _family(child)
    return known


_BY_TYPE = _family(Problem)


def problem_from(details: ProblemDetails) -> Problem:
    """The exception that some details, read from the wire, stand for."""
    kind = _BY_TYPE.get(details.type, Problem)
    return kind(details.detail, errors=list(details.errors), retry_after=details.retry_after)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as flat log fields."""
    return {"error": type(error).__name__, "detail": str(error)}
