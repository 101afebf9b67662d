"""What must hold in the books, as SQL that finds what breaks it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    key: tuple[str, ...]
    tell: str
    sql: str


CHECKS: tuple[Check, ...] = ()
UNDER_WAY: tuple[str, ...] = ()
COUNT_ORDERS = "SELECT COUNT(*) AS orders FROM order_svc.orders"
