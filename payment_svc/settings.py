"""What can be set about payments, by `SHOP_*` environment variables."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from shared.service import Positive, Settings, unsafe_secret

Points = Annotated[int, Meta(ge=1, le=10**18)]


class PaymentSettings(Settings, frozen=True, kw_only=True):
    """The payment service's settings."""

    points_charge_max: Points = 10**8
    """The most points that one charge may add."""
    points_balance_max: Points = 10**12
    """The most points that charging may bring an account to; a refund is never refused."""
    pg_adapter: str = "toss"
    """Which PG that is: a module of `payment_svc/pgs/`."""
    pg_url: str = "http://127.0.0.1:8075"
    """The payment gateway (PG) that charges cards; locally its simulator."""
    pg_secret: str = "sagamart-pg"  # noqa: S105
    """What this shop proves itself to the PG with."""
    pg_test_key: str = "default_"
    """Begins the key of a payment whose buyer brought none; empty: a card needs one from the PG's widget."""
    pg_timeout_s: Positive = 2.0
    """How long the PG may take for one answer."""
    pg_tries: Annotated[int, Meta(ge=1, le=10)] = 2
    """How often one question is asked, before its outcome counts as unknown."""
    pg_patience_s: Positive = 60.0
    """How long a charge that nothing is known of may take, before it counts as not made."""
    pg_ask_again_s: Positive = 1.0
    """The first pause before the PG is asked again about an unknown outcome; doubles up to half a minute."""
    intent_s: Positive = 1800.0
    """How long the number of a payment is good that was made before its widget is opened."""

    @property
    def pg_lease_s(self) -> float:
        """For so long only one asks about a payment: three questions, with all their tries."""
        return 3 * self.pg_tries * (self.pg_timeout_s + 1.0) + 5.0

    def unsafe(self) -> Iterator[str]:
        """Complaints: a secret at the PG that everybody knows."""
        yield from super().unsafe()
        yield from unsafe_secret("SHOP_PG_SECRET", self.pg_secret, "the secret that the PG gave this shop")
