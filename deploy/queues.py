"""Has the exchanges and queues of all services declared, which must be there before anybody publishes."""

import sys
from collections.abc import Sequence

from deploy.broker_users import packages
from deploy.services import Service


def command(services: Sequence[Service], python: str = sys.executable) -> list[str] | None:
    """The program that declares them; None if none of the services has any."""
    words = packages(services)
    return [python, "-m", "shared.declare", *words] if words else None
