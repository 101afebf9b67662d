"""`python -m order_svc`: one process of the order service."""

from order_svc.service import service
from shared.service.app import run

run(service)
