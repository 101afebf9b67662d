"""The shop's HTTP door as a typed client: what a browser or a script would send, and nothing more."""

from ops.shop.answers import (
    Change,
    HeldCoupon,
    Intent,
    Item,
    Line,
    Order,
    OrderedLine,
    Participant,
    Payment,
    PointsBought,
    Quote,
    Sales,
    Timeline,
    TimelineStep,
    Tokens,
)
from ops.shop.client import PAGE, Session, Shop
from ops.shop.refusals import Away, Refused, passing, persist

__all__ = [
    "PAGE",
    "Away",
    "Change",
    "HeldCoupon",
    "Intent",
    "Item",
    "Line",
    "Order",
    "OrderedLine",
    "Participant",
    "Payment",
    "PointsBought",
    "Quote",
    "Refused",
    "Sales",
    "Session",
    "Shop",
    "Timeline",
    "TimelineStep",
    "Tokens",
    "passing",
    "persist",
]
