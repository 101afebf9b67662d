"""Settings of the order service."""

from typing import Annotated

from msgspec import Meta

from shared.service import Positive, Settings


class OrderSettings(Settings, frozen=True, kw_only=True):
    """`SHOP_ORDER_DEADLINE_S` and its like."""

    order_deadline_s: Positive = 30.0
    """How long participants may take to answer."""
    order_unpaid_s: Annotated[float, Meta(ge=0)] = 1800.0
    """How long a completed order waits to be paid before it is called off; 0: until another value is set."""
    order_release_again_s: Positive = 30.0
    """How long until an unanswered release is sent again; doubles each time, up to ten minutes."""
