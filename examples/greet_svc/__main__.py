"""`python -m greet_svc`: one process of the greet service."""

from greet_svc.service import service
from shared.service import run

run(service)
