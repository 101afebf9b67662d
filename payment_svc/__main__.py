"""`python -m payment_svc`"""

from payment_svc.service import service
from shared.service import run

run(service)
