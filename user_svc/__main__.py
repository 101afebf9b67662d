"""`python -m user_svc`"""

from shared.service import run
from user_svc.service import service

run(service)
