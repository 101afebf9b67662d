"""`python -m tests.shared.tiny`: one process of the tiny service, so that it can be killed."""

from shared.service.app import run
from tests.shared.tiny.service import service

run(service)
