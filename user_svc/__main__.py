"""`python -m user_svc`"""

from shared.app import run
from user_svc.service import service

run(service)
