"""What an operator's form says, read strictly."""

from uuid import UUID

from gateway.console.requests import ConsoleRequest
from shared.errors import FieldError, Malformed, RuleBroken

MOST_CHOSEN = 1000


class Form:
    """The fields of a form that came through the door."""

    def __init__(self, request: ConsoleRequest) -> None:
        self._fields: list[tuple[str, str]] = request.state["fields"]

    def text(self, name: str) -> str | None:
        """A field without what surrounds its text; None where it is empty or missing."""
        return dict(self._fields).get(name, "").strip() or None

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
