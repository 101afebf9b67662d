"""`python -m order_svc`: one process of the order service."""

from order_svc.service import service
from shared.service import run

run(service)
