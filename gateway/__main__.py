"""Run a gateway process: `python -m gateway`."""

from gateway.service import service
from shared.service.app import run

run(service)
