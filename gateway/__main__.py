"""Run a gateway process: `python -m gateway`."""

from gateway.service import service
from shared.service import run

run(service)
