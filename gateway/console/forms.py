"""What an operator's form says, read strictly."""

from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from gateway.console.requests import ConsoleRequest
from gateway.door.strict import LONGEST_NAME, MOST_ERRORS
from shared.errors import FieldError, Malformed, RuleBroken

W = TypeVar("W", bound=str)
MOST_CHOSEN = 1000


FIELDS = "fields"
FORM_TOKEN = "form_token"  # noqa: S105  a name


def fields(*names: str) -> dict[str, Any]:
    """`opt=` of a route: what its form may say, besides what every form does."""
    return {FIELDS: (*names, FORM_TOKEN, "request_id")}


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raises `RuleBroken` for fields that a form does not have."""
    known = sorted({*known} - {FORM_TOKEN})
    unknown = sorted({*names} - {*known, FORM_TOKEN})
    if unknown:
        said = f"is not known; expected {', '.join(known)}" if known else "is not known"
        errors = [FieldError(name[:LONGEST_NAME], said) for name in unknown[:MOST_ERRORS]]
        raise RuleBroken("The form has a field that is not known.", errors=errors)


class Form:
    """The fields of a form that came through the door."""

    def __init__(self, request: ConsoleRequest) -> None:
        self._names = frozenset(request.route_handler.opt[FIELDS])
        self._fields: list[tuple[str, str]] = request.state["fields"]

    def text(self, name: str) -> str | None:
        """A field without what surrounds its text; None where it is empty or missing."""
        self._check(name)
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
        self._check(name)
        values = [value for field, value in self._fields if field == name]
        if not all(value.isascii() and value.isdigit() and 0 < len(value) < 19 for value in values):
            raise Malformed("The form cannot be read.", errors=[FieldError(name, "Expected whole numbers")])
        if len(values) > MOST_CHOSEN:
            raise RuleBroken(f"At most {MOST_CHOSEN:,} can be chosen at once.")
        return [int(value) for value in values]

    def _check(self, name: str) -> None:
        if name not in self._names:
            raise LookupError(f"say fields({name!r}) in the route's opt")

    @property
    def request_id(self) -> UUID:
        """What makes the same form, sent twice, one action."""
        try:
            return UUID(self.text("request_id") or "")
        except ValueError:
            raise Malformed(
                "The form cannot be read.", errors=[FieldError("request_id", "Expected an id")]
            ) from None
