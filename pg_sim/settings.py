"""What can be set about the simulated PG, by `SHOP_*` environment variables."""

from shared.settings import Port, Positive, Settings


class SimulatorSettings(Settings, frozen=True, kw_only=True):
    """The simulator's settings; its secrets are those that the payment service is given."""

    service_port: Port = 8075
    port_base: Port = 8000
    pg_secret: str = "sagamart-pg"  # noqa: S105
    pg_webhook_secret: str = "sagamart-pg-webhook"  # noqa: S105
    pg_webhook_url: str = ""
    """Where the shop takes webhooks; empty: at the public port of a shop on this machine."""
    pg_journal: str = ""
    """The file that charges are kept in, so that they outlive the process; empty: kept in memory alone."""
    pg_late_s: Positive = 6.0
    """How late the late ones come: longer than anybody waits for an answer."""
    pg_hang_s: Positive = 30.0
    """How long a request hangs that is never answered."""

    @property
    def webhook_url(self) -> str:
        """Where webhooks go."""
        return self.pg_webhook_url or f"http://127.0.0.1:{self.port_base}/payments/pg/webhook"
