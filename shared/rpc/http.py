"""Calls over HTTP, for when the broker is away: same types, errors and deadlines at `POST /calls/<name>`."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from shared.certificates import Files, ask_with
from shared.errors import CallRefused, OutcomeUnknown, ProblemDetails, Unavailable, problem_from
from shared.logs import log
from shared.messages import service_of
from shared.rpc import wire
from shared.rpc.credentials import Signer
from shared.rpc.peers import Address, Names, parse_peers

if TYPE_CHECKING:
    import httpx


class NobodyThere(Exception):
    """No replica of the service accepts a connection: nothing has run."""


def hosts_of(service: str, peers: str) -> list[str]:
    """Under which names others call a service, as their peers say."""
    return [urlsplit(url).hostname or "" for url in parse_peers(peers).get(service, [])]


class HttpCalls:
    """Sends single calls to any replica of a service; the one that answered last is tried first.

    Each bears the token that `signer` makes for the service. Without one they are refused.
    """

    def __init__(self, peers: str, signer: Signer | None = None, tls: Files | None = None) -> None:
        self._peers = parse_peers(peers)
        self._signer = signer
        self._names = Names()
        self._answered: dict[str, Address] = {}
        """Who of a service answered last."""
        self._tls = tls
        """What is shown to those who are asked at https."""
        self._client_context: ssl.SSLContext | None = None
        self._client: httpx.AsyncClient | None = None
        self._former: list[httpx.AsyncClient] = []
        """Of certificates that were exchanged since; what they are doing, they still end."""

    async def call(self, service: str, request: wire.Request) -> wire.Outcome:
        """Ask once. Raises `NobodyThere`, `OutcomeUnknown` if the connection broke after the sending.

        Raises `Unavailable` if the service takes no such call from this process: that is a fault in what both
        were told, and says nothing to whoever it was made for.
        """
        ends = _ends(request)
        addresses = await self._addresses(service)
        # At start others are often not there yet: to find that out, no process need load what is below.
        if self._client is None and not await _is_anybody_there(addresses):
            raise NobodyThere
        import httpx  # costs megabytes, and most processes never need it

        for address in addresses:
            try:
                outcome = await self._post(address, request, ends)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            except httpx.TransportError as error:
                raise OutcomeUnknown(f"The connection to the {service} service broke.") from error
            except wire.UNREADABLE as error:
                raise OutcomeUnknown(f"Something that is not the {service} service answered.") from error
            self._answered[service] = address
            _check_taken(service, outcome)
            return outcome
        raise NobodyThere

    @property
    def services(self) -> list[str]:
        """The services whose addresses are known."""
        return list(self._peers)

    async def call_each(self, service: str, request: wire.Request) -> list[wire.Outcome]:
        """Ask every address of a service at once; those that do not answer in time are left out."""
        answers = await asyncio.gather(
            *(self._post(one, request, _ends(request)) for one in await self._addresses(service)),
            return_exceptions=True,
        )
        return [one for one in answers if isinstance(one, wire.Outcome)]

    async def _addresses(self, service: str) -> list[Address]:
        """All addresses of a service, first the one that answered last."""
        found = await self._names.addresses(self._peers.get(service, []))
        return sorted(found, key=lambda address: address != self._answered.get(service))

    async def close(self) -> None:
        """Give up the connections."""
        for one in (*self._former, self._client):
            if one is not None:
                await one.aclose()

    async def _post(self, address: Address, request: wire.Request, ends: float) -> wire.Outcome:
        left = max(ends - time.monotonic(), 0.001)
        token = self._signer.token_for(service_of(request.call)) if self._signer else None
        headers = {
            "host": address.host,
            **({"authorization": f"Bearer {token}"} if token else {}),
            "content-type": wire.CONTENT_TYPE,
            wire.TIME_LEFT_HEADER: str(int(left * 1000)),
            **({wire.CORRELATION_HEADER: request.correlationid} if request.correlationid else {}),
            **({wire.TRACE_HEADER: request.traceparent} if request.traceparent else {}),
            **({wire.KEY_HEADER: wire.encode(request.key).decode()} if request.key else {}),
        }
        answer = await self._connections().post(
            f"{address.url}/calls/{request.call}",
            content=bytes(request.data),
            headers=headers,
            timeout=left,
            extensions={"sni_hostname": urlsplit(f"//{address.host}").hostname},
        )
        if answer.is_success:
            return wire.Outcome(id=request.id, data=msgspec.Raw(answer.content or b"null"))
        return wire.Outcome(id=request.id, problem=msgspec.json.decode(answer.content, type=ProblemDetails))

    def _context_now(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        try:
            return ask_with(self._tls)
        except ConnectionError as error:  # a file that is being exchanged: what was in it before still counts
            if self._client_context is None:
                log.error("rpc.certificate_unusable", detail=str(error))
                raise NobodyThere from error
            return self._client_context

    def _connections(self) -> "httpx.AsyncClient":
        """What holds the connections; made on first use, for the same reason."""
        import httpx

        context = self._context_now()
        if self._client is None or context is not self._client_context:
            if self._client is not None:
                self._former.append(self._client)
            self._client = httpx.AsyncClient(
                trust_env=False,
                timeout=None,  # noqa: S113  the deadline rules
                verify=context
                or any(url.startswith("https:") for urls in self._peers.values() for url in urls),
            )
            self._client_context = context
        return self._client


def _check_taken(service: str, outcome: wire.Outcome) -> None:
    if outcome.problem is None:
        return
    refusal = problem_from(outcome.problem)
    if isinstance(refusal, CallRefused):
        log.error("rpc.call_refused", by=service, detail=refusal.detail)
        raise Unavailable(f"The {service} service refuses this call: {refusal.detail}") from refusal


async def _is_anybody_there(addresses: Sequence[Address]) -> bool:
    for address in addresses:
        parts = urlsplit(address.url)
        try:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            continue
        writer.close()
        return True
    return False


def _ends(request: wire.Request) -> float:
    """When nobody waits for a request any more that is sent from now on, as `time.monotonic` counts."""
    return time.monotonic() + (request.left_ms or 0) / 1000
