"""`python -m item_svc`: one process of the item service."""

from item_svc.service import service
from shared.service import run

run(service)
