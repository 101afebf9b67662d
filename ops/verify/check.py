"""What a check is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` selects what is wrong, `key` names the columns that identify it, `tell` puts it in words."""

    name: str
    key: tuple[str, ...]
    tell: str
    sql: str
