"""What can be set about payments, by `SHOP_*` environment variables."""

from typing import Annotated

from msgspec import Meta

from shared.settings import Settings

Points = Annotated[int, Meta(ge=1, le=10**18)]


class PaymentSettings(Settings, frozen=True, kw_only=True):
    """The payment service's settings."""

    points_charge_max: Points = 10**8
    """The most points that one charge may add."""
    points_balance_max: Points = 10**12
    """The most points that charging may bring an account to; a refund is never refused."""
