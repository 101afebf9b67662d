"""Problems cross borders as data and come out as what they were."""

import msgspec
import pytest

from shared import errors
from shared.errors import FieldError, Problem, ProblemDetails, problem_from

KINDS = [
    errors.Malformed,
    errors.Unauthorized,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.StillRunning,
    errors.Stale,
    errors.RuleBroken,
    errors.PreconditionRequired,
    errors.TooMany,
    errors.Unavailable,
    errors.OutcomeUnknown,
    Problem,
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_survives_the_wire(kind: type[Problem]):
    original = kind("What happened.", errors=[FieldError("lines[0].quantity", "must be positive")])
    details = msgspec.json.decode(msgspec.json.encode(original.details()), type=ProblemDetails)
    copy = problem_from(details)
    assert type(copy) is kind
    assert copy.details() == original.details()
    assert details.status == kind.status
    assert details.type == f"/problems/{kind.slug}"


def test_types_and_titles_are_their_own():
    assert len({kind.slug for kind in KINDS}) == len({kind.title for kind in KINDS}) == len(KINDS)


def test_retry_after_is_there_where_it_helps_and_may_be_set():
    assert errors.Unavailable("away").details().retry_after
    assert errors.TooMany("slow down", retry_after=7).details().retry_after == 7
    assert errors.Conflict("taken").details().retry_after is None


def test_an_unknown_type_is_a_plain_problem():
    unknown = ProblemDetails(type="/problems/from-the-future", title="?", status=418, detail="tea")
    assert type(problem_from(unknown)) is Problem
