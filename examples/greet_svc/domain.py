"""The rules of greeting: pure functions."""

from shared.errors import FieldError, RuleBroken

MAX_NAME = 100


def tidy(name: str) -> str:
    """A name as it is kept. Raises `RuleBroken` for one that is empty or too long."""
    tidied = " ".join(name.split())
    if not 1 <= len(tidied) <= MAX_NAME:
        raise RuleBroken(
            "Nobody has such a name.", errors=[FieldError("name", f"must have 1 to {MAX_NAME} characters")]
        )
    return tidied


def wording(name: str, times: int) -> str:
    """What is said to somebody who is greeted for the `times`-th time."""
    return f"Hello, {name}" if times == 1 else f"Hello again, {name}"
