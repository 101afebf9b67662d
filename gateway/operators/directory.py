"""What every service says of itself, asked when somebody wants to know; the last good answers are kept."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct

from gateway.door.requests import ShopRequest
from shared.clock import utc_now
from shared.errors import Problem
from shared.rpc import Rpc
from shared.service.describe import Description, Process, Registrations, describe_call

FRESH_S = 3.0
"""How old an answer may be, so that a page that asks often does not keep the services busy describing."""
PATIENCE_S = 2.0


class Known(Struct, frozen=True, kw_only=True):
    """A service as it described itself at `seen_at`; not `present` if it did not answer when asked last.

    A service that has never answered has no registrations.
    """

    service: str
    present: bool
    seen_at: datetime | None
    registrations: Registrations | None


class Replicas(Struct, frozen=True, kw_only=True):
    """A service with the processes that answered for themselves just now."""

    known: Known
    processes: list[Process]


class Directory:
    """Everything that is known of the services. One per gateway process."""

    def __init__(self, rpc: Rpc, describe_gateway: Callable[[], Awaitable[Description]]) -> None:
        self._rpc = rpc
        self._describe_gateway = describe_gateway
        self._known: dict[str, Known] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def services(self) -> list[str]:
        """The names of all services that can be asked; the gateway is not among them."""
        return sorted(self._rpc.services)

    async def all(self) -> list[Known]:
        """All services and the gateway, by name, asked again if their answers are not fresh."""
        async with self._asking:
            if time.monotonic() - self._asked_at > FRESH_S:
                answers = await asyncio.gather(*(self._ask(name) for name in self.services))
                for name, answer in zip(self.services, answers, strict=True):
                    self._known[name] = self._updated(name, answer)
                own = await self._describe_gateway()
                self._known[own.registrations.service] = _present(own)
                self._asked_at = time.monotonic()
        return [self._known[name] for name in sorted(self._known)]

    async def replicas(self) -> list[Replicas]:
        """All services with their processes: those that have an address of their own, and this very one."""
        known = await self.all()
        own = await self._describe_gateway()
        found = {own.registrations.service: [own.process]}
        answers = await asyncio.gather(*(self._ask_each(name) for name in self.services))
        found |= dict(zip(self.services, answers, strict=True))
        return [Replicas(known=one, processes=found.get(one.service, [])) for one in known]

    async def _ask(self, service: str) -> Description | None:
        try:
            return await self._rpc.call(describe_call(service)(), timeout=PATIENCE_S)
        except Problem:  # whatever kept it from answering, it is away for whoever looks
            return None

    async def _ask_each(self, service: str) -> list[Process]:
        answers = await self._rpc.call_each(describe_call(service)(), timeout=PATIENCE_S)
        return sorted((one.process for one in answers), key=lambda process: process.replica)

    def _updated(self, service: str, answer: Description | None) -> Known:
        if answer is not None:
            return _present(answer)
        before = self._known.get(service)
        return Known(
            service=service,
            present=False,
            seen_at=before.seen_at if before else None,
            registrations=before.registrations if before else None,
        )


def directory(request: ShopRequest) -> Directory:
    """The directory of this process."""
    state = request.app.state
    if "directory" not in state:
        state["directory"] = Directory(state["rpc"], state["runtime"].description)
    return state["directory"]


def _present(description: Description) -> Known:
    return Known(
        service=description.registrations.service,
        present=True,
        seen_at=utc_now(),
        registrations=description.registrations,
    )
