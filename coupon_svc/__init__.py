"""Coupon policies, issuing and price calculation; a participant of the order saga."""
