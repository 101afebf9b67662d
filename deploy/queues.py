"""Has the exchanges and queues of all services declared, which must be there before anybody publishes."""

import sys
from collections.abc import Sequence

from deploy.services import ROOT, Service


def command(services: Sequence[Service], python: str = sys.executable) -> list[str] | None:
    """The program that declares them; None if none of the services has any."""
    packages = [
        service.module
        for service in services
        if not service.outside and (ROOT / service.module.replace(".", "/") / "service.py").exists()
    ]
    return [python, "-m", "shared.declare", *packages] if packages else None
