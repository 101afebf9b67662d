"""Which of msgspec's refusals are 400 and which 422: it gives no codes, so its texts decide."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from gateway.door.strict import decode
from shared.errors import Problem


@pytest.mark.parametrize(
    ("kind", "value", "text", "status"),
    [
        (int, "a", "Expected `int`, got `str`", 400),
        (int, 1.5, "Expected `int`, got `float`", 400),
        (UUID, "x", "Invalid UUID", 400),
        (Literal["a", "b"], "c", "Invalid enum value 'c'", 422),
        (Annotated[int, Meta(ge=1)], 0, "Expected `int` >= 1", 422),
        (Annotated[str, Meta(min_length=1)], "", "Expected `str` of length >= 1", 422),
        (Annotated[str, Meta(pattern="^a")], "b", "Expected `str` matching regex '^a'", 422),
        (Annotated[list[int], Meta(max_length=1)], [1, 2], "Expected `array` of length <= 1", 422),
    ],
)
def test_the_text_of_a_refusal_decides(kind: Any, value: Any, text: str, status: int) -> None:
    body = msgspec.defstruct("Body", [("field", kind)])
    with pytest.raises(Problem) as refused:
        decode(msgspec.json.encode({"field": value}), body)
    assert refused.value.status == status
    assert [(error.field, error.message) for error in refused.value.errors] == [("field", text)]


def test_a_field_that_is_missing_is_400() -> None:
    with pytest.raises(Problem) as refused:
        decode(b"{}", msgspec.defstruct("Body", [("field", int)]))
    assert refused.value.status == 400
