"""`python -m coupon_svc`: one process of the coupon service."""

from coupon_svc.service import service
from shared.service import run

run(service)
