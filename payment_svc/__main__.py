"""`python -m payment_svc`"""

from payment_svc.service import service
from shared.service.app import run

run(service)
