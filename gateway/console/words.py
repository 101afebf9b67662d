"""How the console writes things: money, moments, times that pass, names of states. Pure functions."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from markupsafe import Markup

NONE = "–"  # noqa: RUF001  a dash, as printed
"""Stands where there is nothing to show."""


def number(value: int | float | None) -> str:
    """1234567 as 1,234,567."""
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def won(amount: int | None) -> str:
    """Money."""
    if amount is None:
        return NONE
    return f"−₩{-amount:,}" if amount < 0 else f"₩{amount:,}"  # noqa: RUF001  a true minus sign


def moment(at: datetime | None) -> str:
    """A time to the second, in UTC; the exact one for machines and on hovering."""
    if at is None:
        return NONE
    at = at.astimezone(UTC)
    return Markup('<time datetime="{0}" title="{0}">{1:%Y-%m-%d %H:%M:%S}</time>').format(_iso(at), at)


def clock(at: datetime) -> Markup:
    """A time of day to the millisecond, in UTC."""
    at = at.astimezone(UTC)
    shown = f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(_iso(at), shown)


def age(since: datetime | None) -> str:
    """How long ago something was; a script lets it go on."""
    if since is None:
        return NONE
    seconds = max(0.0, (datetime.now(UTC) - since).total_seconds())
    return Markup('<time data-since="{0}" datetime="{0}" title="{0}">{1}</time>').format(
        _iso(since.astimezone(UTC)), lasting(float(int(seconds)))
    )


def lasting(seconds: float | None) -> str:
    """How long something takes or took, in the units that a person would choose."""
    if seconds is None:
        return NONE
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days"


def size(count: int | None) -> str:
    """Memory."""
    return NONE if count is None else f"{count / 2**20:,.0f} MiB"


def tail(id_: UUID | str) -> str:
    """What tells one id from another at a glance: ids begin with their time, so neighbours share that."""
    return str(id_).rpartition("-")[2]


def plainly(word: str) -> str:
    """`out_of_stock` as "out of stock"."""
    return word.replace("_", " ").lower()


def pretty_json(value: Any) -> str:
    """JSON for people."""
    encoded = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return msgspec.json.format(encoded, indent=2)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "won": won,
    "moment": moment,
    "clock": clock,
    "age": age,
    "lasting": lasting,
    "size": size,
    "tail": tail,
    "plainly": plainly,
    "pretty_json": pretty_json,
}
