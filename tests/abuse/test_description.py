"""Requests made up from the shop's own description, good ones and bad ones, against a whole shop.

Whatever is sent, the answer is no server error and is one that the description declares, in its shape.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.door.roles import ROLES
from tests.abuse.conftest import Headers

EXAMPLES = 4
"""For each operation, kind of request and caller: the whole folder stays within a minute or so."""
MANY = 60
"""The same where there is time."""
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="package")
def api(door: httpx.Client) -> Any:
    """The shop's description, without the streams: they would be listened to for a quarter of an hour."""
    document = door.get("/openapi.json").json()
    document["paths"] = {
        path: operations for path, operations in document["paths"].items() if not path.endswith("/events")
    }
    made = schemathesis.openapi.from_dict(document)
    made.config.update(base_url=str(door.base_url))
    return made


@pytest.mark.parametrize("examples", [EXAMPLES, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("caller", ["nobody", *ROLES])
def test_every_answer_is_as_described(
    api: Any,
    caller: str,
    examples: int,
    admin: Headers,
    buyer: Headers,
    staff: Callable[[str], Headers],
    subtests: pytest.Subtests,
) -> None:
    known: dict[str, Headers] = {"nobody": {}, "customer": buyer, "admin": admin}
    headers = known[caller] if caller in known else staff(caller)
    # In the suite, roles between those of a buyer and of an admin are tried once at each door.
    examples = examples if caller in known or examples > EXAMPLES else 1
    tried = 0
    for found in api.get_all_operations():
        operation = found.ok()
        with subtests.test(operation=operation.label):
            tried += _try(operation, headers, examples)
    assert tried > 50 * examples


def _try(operation: Any, headers: Headers, examples: int) -> int:
    """Send requests to one operation, good ones and then bad ones where it has anything to get wrong."""
    modes = [GenerationMode.POSITIVE]
    if operation.body or operation.query or operation.path_parameters:
        modes.append(GenerationMode.NEGATIVE)
    tried = 0
    for mode in modes:

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS, headers=headers)

        try:
            send()
        except FailureGroup as failures:
            pytest.fail("\n\n".join(str(failure) for failure in failures.exceptions), pytrace=False)
    return tried
