"""What can be set about the simulated PG, by `SHOP_*` environment variables."""

from shared.settings import Port, Positive, Settings


class SimulatorSettings(Settings, frozen=True, kw_only=True):
    """The simulator's settings; its secret key is the one that the payment service is given."""

    service_port: Port = 8075
    port_base: Port = 8000
    pg_secret: str = "sagamart-pg"  # noqa: S105
    pg_webhook_url: str = ""
    """Where the shop takes notices; empty: at the public port of a shop on this machine."""
    pg_webhook_ca_file: str | None = None
    """Who has signed the shop's certificate, where the system does not know them."""
    pg_journal: str = ""
    """The file that everything is kept in, so that it outlives the process; empty: kept in memory alone."""
    pg_session_s: Positive = 600.0
    """How long a payment may be confirmed after the buyer began it."""
    pg_notice_minute_s: Positive = 60.0
    """How long a minute is between the tries of a notice that was not taken; less: see them all sooner."""
    pg_late_s: Positive = 6.0
    """How late the late ones come: longer than anybody waits for an answer."""
    pg_hang_s: Positive = 30.0
    """How long a request hangs that is never answered."""
    pg_own_cancel_s: Positive = 3.0
    """How long after its charge the PG cancels by itself, with the cards that it does so with."""

    @property
    def webhook_url(self) -> str:
        """Where notices go."""
        return self.pg_webhook_url or f"http://127.0.0.1:{self.port_base}/payments/pg/webhook"
