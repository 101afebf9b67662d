"""What a page's address may say, read strictly: what cannot be read is told, never ignored."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

from gateway.console.requests import ConsoleRequest
from gateway.door.guards import QUERY
from shared.errors import FieldError, Malformed

T = TypeVar("T")
W = TypeVar("W", bound=str)

VERSION = "version"
"""What a page's stream says of the page that it goes on from; it is no part of what the page shows."""


def takes(*names: str) -> dict[str, Any]:
    """`opt=` of a page: what its address may say."""
    return {QUERY: (*names, VERSION)}


class Query:
    """The query of a page's address. An empty value is as good as none: forms send every field they have."""

    def __init__(self, request: ConsoleRequest) -> None:
        self._path: str = request.scope["path"]
        self._names = frozenset(request.route_handler.opt[QUERY])
        self._given = {
            name: value for name, value in request.query_params.items() if value.strip() and name != VERSION
        }

    def text(self, name: str, *, longest: int = 255) -> str | None:
        """Free text without what surrounds it."""
        return self._read(
            name, str.strip, lambda text: len(text) <= longest, f"Expected at most {longest} characters"
        )

    def one_of(self, name: str, allowed: tuple[W, ...]) -> W | None:
        """One of some words."""
        expected = f"Expected one of: {', '.join(allowed)}"
        return self._read(name, lambda text: cast(W, text), lambda word: word in allowed, expected)

    def whole(self, name: str, *, least: int = 1, most: int = 2**63 - 1) -> int | None:
        """A whole number."""
        return self._read(
            name,
            _digits,
            lambda number: least <= number <= most,
            f"Expected a whole number from {least} to {most}",
        )

    def uuid(self, name: str) -> UUID | None:
        """An id."""
        return self._read(
            name, UUID, lambda _: True, "Expected an id, such as 01890a5d-ac96-774b-bcce-b302099a8057"
        )

    def moment(self, name: str) -> datetime | None:
        """A time; without a zone it is UTC, and a date is its midnight."""
        return self._read(
            name,
            _moment,
            lambda at: 1970 <= at.year <= 9998,
            "Expected a time, such as 2026-01-31T12:00, or a date",
        )

    def address(self, **changes: Any) -> str:
        """This page's address with some of its query changed; None takes a value away."""
        values: Mapping[str, Any] = {**self._given, **changes}
        query = urlencode({name: value for name, value in values.items() if value is not None})
        return f"{self._path}?{query}" if query else self._path

    def _read(
        self, name: str, read: Callable[[str], T], fits: Callable[[T], bool], expected: str
    ) -> T | None:
        if name not in self._names:
            raise LookupError(f"say takes({name!r}) in the route's opt")
        given = self._given.get(name)
        if given is None:
            return None
        try:
            value = read(given)
        except (ValueError, OverflowError):
            value = None
        if value is None or not fits(value):
            raise Malformed("The page's address cannot be read.", errors=[FieldError(name, expected)])
        return value


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(text)
    return int(text)


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
