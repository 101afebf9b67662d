"""Questions between services: typed calls over RabbitMQ, with deadlines, grouping and an HTTP fallback."""

from shared.database.idempotency import Once, fingerprint
from shared.rpc.admission import Limit
from shared.rpc.client import Rpc

__all__ = ["Limit", "Once", "Rpc", "fingerprint"]
