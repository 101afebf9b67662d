"""`python -m query_svc`: one process of the query service."""

from query_svc.service import service
from shared.service import run

run(service)
