"""Gateways tell one another whom they have let in, so that a limit holds for all of them together."""

import asyncio
import time

from gateway.contracts import CallersCounted
from gateway.door.rate_limit import CallersHeard, RateLimit, known
from gateway.settings import GatewaySettings
from shared.events import Passing


async def tell_others(passing: Passing, settings: GatewaySettings) -> None:
    """A job: say what was let in since the last time, and, by saying anything, that this gateway is there."""
    if not settings.rate_limit:
        return
    for limit in tuple(known):
        limit.tell_now = _Soon(limit, passing)
        _tell(limit, passing)


def callers_counted(heard: CallersHeard) -> None:
    """Another gateway has let them in; here they count as well."""
    for limit in tuple(known):
        limit.hear(heard.gateway, heard.counts, time.monotonic())


class _Soon:
    """Tells at the end of this turn of the loop, once for all that asks for it in the turn."""

    def __init__(self, limit: RateLimit, passing: Passing) -> None:
        self._limit = limit
        self._passing = passing
        self._is_called = False

    def __call__(self) -> None:
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._is_called = False
        _tell(self._limit, self._passing)


def _tell(limit: RateLimit, passing: Passing) -> None:
    passing.tell(CallersCounted(gateway=limit.name, counts=limit.untold(time.monotonic())))
