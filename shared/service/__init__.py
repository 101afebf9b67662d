"""What a service is made of, and the process that it runs in."""

from shared.clients import Client, client_of, networks, owner_of
from shared.production import unsafe_secret, unsafe_url
from shared.sealing import Sealer
from shared.service.app import run
from shared.service.service import Rank, Service, answer, every, hear, hear_everything, tap
from shared.settings import Positive, Settings, load

__all__ = [
    "Client",
    "Positive",
    "Rank",
    "Sealer",
    "Service",
    "Settings",
    "answer",
    "client_of",
    "every",
    "hear",
    "hear_everything",
    "load",
    "networks",
    "owner_of",
    "run",
    "tap",
    "unsafe_secret",
    "unsafe_url",
]
