"""What the coupon service can be told from outside."""

from shared.service import Positive, Settings


class CouponSettings(Settings, frozen=True, kw_only=True):
    """Settings of the coupon service, on top of those that every process has."""

    coupon_reread_s: Positive = 600.0
    """How long after the last full reading of the catalogue its prices are read again."""
