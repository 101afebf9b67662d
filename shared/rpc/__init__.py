"""Questions between services: typed calls over RabbitMQ, with deadlines, grouping and an HTTP fallback."""

from shared.database.idempotency import Once, fingerprint
from shared.rpc.admission import Limit
from shared.rpc.callers import PLATFORM_CALLS, callers_of
from shared.rpc.client import Rpc

__all__ = ["PLATFORM_CALLS", "Limit", "Once", "Rpc", "callers_of", "fingerprint"]
