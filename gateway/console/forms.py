"""What an operator's form says, read strictly."""

from typing import TypeVar
from uuid import UUID

from gateway.console.requests import ConsoleRequest
from shared.errors import FieldError, Malformed, RuleBroken

W = TypeVar("W", bound=str)
MOST_CHOSEN = 1000


class Form:
    """The fields of a form that came through the door."""

    def __init__(self, request: ConsoleRequest) -> None:
        self._fields: list[tuple[str, str]] = request.state["fields"]

    def text(self, name: str) -> str | None:
        """A field without what surrounds its text; None where it is empty or missing."""
        return dict(self._fields).get(name, "").strip() or None

    def one_of(self, name: str, allowed: tuple[W, ...]) -> W:
        """One of some words."""
        found = next((word for word in allowed if word == self.text(name)), None)
        if found is None:
            raise RuleBroken(
                "The form does not say what to do.",
                errors=[FieldError(name, f"Expected one of: {', '.join(allowed)}")],
            )
        return found

    def numbers(self, name: str) -> list[int]:
        """The values of boxes that were ticked."""
        values = [value for field, value in self._fields if field == name]
        if not all(value.isascii() and value.isdigit() and 0 < len(value) < 19 for value in values):
            raise Malformed("The form cannot be read.", errors=[FieldError(name, "Expected whole numbers")])
        if len(values) > MOST_CHOSEN:
            raise RuleBroken(f"At most {MOST_CHOSEN:,} can be chosen at once.")
        return [int(value) for value in values]

    @property
    def request_id(self) -> UUID:
        """What makes the same form, sent twice, one action."""
        try:
            return UUID(self.text("request_id") or "")
        except ValueError:
            raise Malformed(
                "The form cannot be read.", errors=[FieldError("request_id", "Expected an id")]
            ) from None
