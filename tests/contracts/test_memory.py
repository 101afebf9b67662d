"""No process loads at its start what it may never need: what is loaded stays, and megabytes of it add up."""

import subprocess
import sys

import pytest

from deploy.services import ROOT
from tests.contracts.house import MODULES, SERVICES

NEEDED_LATER = {"httpx", "jinja2", "aiosmtplib"}


@pytest.mark.servers
@pytest.mark.parametrize("name", MODULES)
def test_a_process_loads_only_what_it_needs_at_once(name: str) -> None:
    script = f"import {MODULES[name]}.service, shared.service.app, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert not loaded & NEEDED_LATER
    if not (SERVICES[name].models and SERVICES[name].asks_models):
        assert "tortoise" not in loaded
