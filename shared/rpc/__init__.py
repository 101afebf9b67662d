"""Questions between services: typed calls over RabbitMQ, with deadlines, grouping and an HTTP fallback."""

from shared.rpc.client import Rpc

__all__ = ["Rpc"]
