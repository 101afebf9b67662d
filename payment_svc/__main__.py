"""`python -m payment_svc`"""

from payment_svc.service import service
from shared.app import run

run(service)
