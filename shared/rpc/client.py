"""The asking side of calls.

Requests made to one service in the same turn of the event loop, with as much time left, travel as one
message. A call that certainly did not run goes over HTTP instead; one whose outcome is unknown is sent again
only if it is idempotent, and only while few are. For a broker that says nothing at all any more no call
waits: those that were on their way and are idempotent go over HTTP after half of a deadline, new ones at
once.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from aio_pika.abc import AbstractConnection

from shared import metrics
from shared.broker import Address, Channel, Message, Properties, counted, topology
from shared.broker.identity import Identity, identify
from shared.broker.pulse import pulse_of
from shared.broker.strangers import Strangers
from shared.certificates import Files
from shared.clock import utc_now
from shared.context import child_of, correlation_id, traceparent
from shared.database.idempotency import Once
from shared.errors import OutcomeUnknown, StillRunning, Unavailable, describe, problem_from
from shared.ids import new_text_id
from shared.logs import log
from shared.messages import Call, reply_type, service_of
from shared.rpc import wire
from shared.rpc.breaker import Breaker, Open
from shared.rpc.credentials import Signer
from shared.rpc.http import HttpCalls, NobodyThere
from shared.rpc.retries import RetryBudget

R = TypeVar("R")

STILL_RUNNING = f"/problems/{StillRunning.slug}"
TWIN_PAUSES_S = (0.1, 0.3, 0.8)
"""How long to wait for a call with the same key that is still running: most end within a moment."""


class _NotDelivered(Exception):
    """The request reached no service, or was put aside there: nothing has run."""


class _Silence(Exception):
    """The broker says nothing, although it was asked: the request may be done, at once or much later."""


class _Kind(NamedTuple):
    """What is the same for all calls of one class."""

    service: str
    breaker: Breaker
    decode: Callable[[bytes | msgspec.Raw], Any]
    took: Callable[[float], None]


class _Waiting:
    """A call on its way: its request, and the future of its outcome."""

    __slots__ = ("answerer", "may_be_repeated", "outcome", "request")

    def __init__(
        self,
        request: wire.Request,
        outcome: asyncio.Future[wire.Outcome],
        answerer: str,
        *,
        may_be_repeated: bool,
    ) -> None:
        self.request = request
        self.outcome = outcome
        self.answerer = answerer
        self.may_be_repeated = may_be_repeated


class Rpc:
    """Asks other services: `page = await rpc.call(GetItems(ids=[1, 2]))`."""

    def __init__(
        self,
        process: str,
        *,
        timeout_s: float = 3.0,
        peers: str = "",
        tls: Files | None = None,
        signer: Signer | None = None,
        breaker_threshold: int = 5,
        breaker_open_s: float = 2.0,
    ) -> None:
        self._process = process
        self._timeout_s = timeout_s
        self._http = HttpCalls(peers, signer, tls)
        self._breaker_threshold = breaker_threshold
        self._breaker_open_s = breaker_open_s
        self._retries = RetryBudget()
        self._channel: Channel | None = None
        self._us = Identity("", is_own=False)
        self._answerers: set[str] = set()
        """The users from whom answers may come: those of the services that were asked."""
        self._strangers = Strangers("answers")
        self._is_silent = False
        """Whether the broker says nothing at all, although it was asked."""
        self._is_leaving = False
        self._pending: dict[str, _Waiting] = {}
        self._outgoing: dict[tuple[str, int], list[_Waiting]] = defaultdict(list)
        """What leaves in this turn of the loop, by service and by the milliseconds that it has left."""
        self._kinds: dict[type, _Kind] = {}

    # On the link -----------------------------------------------------------------------------------------

    async def set_up(self, connection: AbstractConnection) -> None:
        """Take a fresh connection, and a channel of it on which answers come."""
        self._us = identify(connection, self._process)
        if not self._us.is_own:
            async with connection.channel() as declaring:
                await topology.declare_rpc_exchange(declaring)
        channel = await Channel.open(connection)
        channel.on_return(self._take_back)
        # No queue on the way of an answer, and an address that nobody else can still hold.
        await channel.consume(topology.REPLIES, f"{self._process} replies", self._take, no_ack=True)
        self._channel = channel
        self._is_silent = self._is_leaving = False
        if (pulse := pulse_of(connection)) is not None:
            pulse.tell(self._hear_of_silence)

    async def tear_down(self) -> None:
        """The connection is gone: what was under way fails now, not at its deadline."""
        if self._channel is not None:
            self._channel.give_up()
        self._channel = None
        for waiting in list(self._pending.values()):
            _fail(waiting, OutcomeUnknown("The connection to the broker broke while the call was under way."))

    async def finish(self, seconds: float) -> None:
        """Let calls under way get their answers, for so long at most; new ones go over HTTP meanwhile."""
        self._is_leaving = True
        if waiting := [one.outcome for one in self._pending.values()]:
            await asyncio.wait(waiting, timeout=seconds)

    def _hear_of_silence(self, is_silent: bool) -> None:
        self._is_silent = is_silent
        if is_silent:
            for waiting in self._pending.values():
                if waiting.may_be_repeated:
                    _fail(waiting, _Silence())

    async def close(self) -> None:
        """Give up the HTTP connections."""
        await self._http.close()

    # Asking ----------------------------------------------------------------------------------------------

    async def call(
        self,
        call: Call[R],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  sent along
        once: Once | None = None,
    ) -> R:
        """Ask, and wait for the typed answer.

        `timeout` in seconds, by default `SHOP_RPC_TIMEOUT_S`; the deadline it makes is sent along. With
        `once` the call is done once for its key, and answered again what it was answered first; then also
        raises `StillRunning`, and `RuleBroken` for a key that was used for something else.
        Raises the `Problem` that the service answered with, `Unavailable` if it is away (nothing was done),
        or `OutcomeUnknown` if it may have been done.
        """
        kind = self._kind(type(call))
        seconds = timeout or self._timeout_s
        started = time.perf_counter()
        try:
            ticket = kind.breaker.enter()
        except Open as error:
            raise Unavailable(
                f"The {kind.service} service has not answered {type(call).wire_name} of late.",
                retry_after=max(1, math.ceil(error.retry_after_s)),
            ) from None
        answered: bool | None = None  # a caller that goes away says nothing about the one who was asked
        try:
            outcome = await self._ask_until_done(kind.service, call, seconds, once)
            answered = True
        except TimeoutError as error:
            answered = False
            raise OutcomeUnknown(
                f"The {kind.service} service did not answer within {seconds:g} s."
            ) from error
        except Unavailable:
            answered = False
            raise
        finally:
            kind.breaker.leave(ticket, answered)
            kind.took(time.perf_counter() - started)
        if outcome.problem is not None:
            raise problem_from(outcome.problem)
        return kind.decode(outcome.data)

    @property
    def services(self) -> list[str]:
        """The services that this process knows of: those whose addresses it was told."""
        return self._http.services

    async def call_each(self, call: Call[R], *, timeout: float | None = None) -> list[R]:  # noqa: ASYNC109
        """Ask every replica that has an address of its own; those that do not answer well are left out."""
        kind = self._kind(type(call))
        request = self._request(call, timeout or self._timeout_s)
        outcomes = await self._http.call_each(kind.service, request)
        return [kind.decode(one.data) for one in outcomes if one.problem is None]

    def _request(self, call: Call[Any], seconds: float, once: Once | None = None) -> wire.Request:
        return wire.Request(
            id=new_text_id(),
            call=type(call).wire_name,
            left_ms=max(round(seconds * 1000), 1),
            correlationid=correlation_id(),
            traceparent=child_of(traceparent()),
            key=once.key_for(type(call).wire_name) if once else None,
            data=msgspec.Raw(wire.encode(call)),
        )

    async def _ask_until_done(
        self, service: str, call: Call[Any], seconds: float, once: Once | None
    ) -> wire.Outcome:
        """Ask; while a call with the same key is still running, after a pause again."""
        outcome = await self._ask(service, call, seconds, once)
        for pause in TWIN_PAUSES_S if once else ():
            if outcome.problem is None or outcome.problem.type != STILL_RUNNING:
                break
            await asyncio.sleep(pause)
            outcome = await self._ask(service, call, seconds, once)
        return outcome

    async def _ask(self, service: str, call: Call[Any], seconds: float, once: Once | None) -> wire.Outcome:
        """Over the broker if it is there, else over HTTP; a second time only if that can do no harm."""
        request = self._request(call, seconds, once)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        may_be_repeated = type(call).is_idempotent or once is not None
        unknown: OutcomeUnknown | None = None
        self._retries.add()
        try:
            return await self._over_broker(service, request, deadline, may_be_repeated=may_be_repeated)
        except _NotDelivered:
            pass
        except _Silence:
            unknown = OutcomeUnknown("The broker says nothing any more; the call may be done all the same.")
        except OutcomeUnknown as error:
            if not may_be_repeated or not self._retries.take():
                raise
            unknown = error
            log.info("rpc.again", call=request.call)
        metrics.CALLS_OVER_HTTP.labels(request.call).inc()
        left_ms = max(round((deadline - loop.time()) * 1000), 1)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._http.call(service, msgspec.structs.replace(request, left_ms=left_ms))
        except NobodyThere as error:
            if unknown is not None:  # the first try may have been done all the same
                raise unknown from error
            raise Unavailable(f"The {service} service is unavailable.") from error

    async def _over_broker(
        self, service: str, request: wire.Request, deadline: float, *, may_be_repeated: bool
    ) -> wire.Outcome:
        """The outcome of a request. Raises `TimeoutError` at its deadline, a time of the event loop."""
        if self._channel is None or self._is_silent or self._is_leaving or self._channel.is_blocked:
            raise _NotDelivered
        loop = asyncio.get_running_loop()
        answerer = self._us.of(service)
        self._answerers.add(answerer)
        waiting = _Waiting(request, loop.create_future(), answerer, may_be_repeated=may_be_repeated)
        self._pending[request.id] = waiting
        alike = service, request.left_ms or 1
        group = self._outgoing[alike]
        group.append(waiting)
        if len(group) == 1:
            loop.call_soon(self._send, alike, 1)
        timer = loop.call_at(deadline, _fail, waiting, TimeoutError())
        try:
            return await waiting.outcome
        finally:
            timer.cancel()
            self._pending.pop(request.id, None)

    def _send(self, alike: tuple[str, int], before: int) -> None:
        """Send what has gathered for a service since the last turn of the loop, when there were `before`.

        Several calls are a sign of load: then more are waited for, as long as each turn brings some.
        """
        group = self._outgoing[alike]
        if before < len(group) < wire.GROUP_CALLS:
            asyncio.get_running_loop().call_soon(self._send, alike, len(group))
            return
        del self._outgoing[alike]
        for part in wire.parts(group, lambda waiting: len(bytes(waiting.request.data))):
            self._publish(*alike, part)

    def _publish(self, service: str, left_ms: int, group: list[_Waiting]) -> None:
        if self._channel is None:
            for waiting in group:
                _fail(waiting, _NotDelivered())
            return
        names = {waiting.request.call for waiting in group}
        correlations = {waiting.request.correlationid for waiting in group}
        properties = Properties(
            message_id=group[0].request.id,
            type=names.pop() if len(names) == 1 else f"{service}.*",
            app_id=self._process,
            timestamp=utc_now(),
            content_type=wire.CONTENT_TYPE,
            headers=counted(len(group)),
            correlation_id=correlations.pop() if len(correlations) == 1 else None,
            reply_to=topology.REPLIES,
            expiration_ms=left_ms,
        )
        body = wire.encode([waiting.request for waiting in group])
        try:
            self._channel.publish(Address(topology.RPC_EXCHANGE, service, mandatory=True), properties, body)
        except Exception as error:  # not one octet of it has left, and those who wait are to know at once
            log.info("rpc.publish_failed", service=service, **describe(error))
            for waiting in group:
                _fail(waiting, _NotDelivered())

    def _take(self, message: Message) -> None:
        """Hand out the answers of a message. Those that come from another than was asked are none."""
        answerer = message.properties.user_id
        if answerer not in self._answerers:
            self._strangers.note(message.properties)
            return
        try:
            outcomes = wire.decode_outcomes(message.body)
        except wire.UNREADABLE as error:
            log.warning("rpc.unreadable_answer", **describe(error))
            return
        for outcome in outcomes:
            waiting = self._pending.get(outcome.id)
            if waiting is None or waiting.outcome.done():
                continue
            if waiting.answerer != answerer:
                self._strangers.note(message.properties)
                continue
            if outcome.begun:
                waiting.outcome.set_result(outcome)
            else:
                waiting.outcome.set_exception(_NotDelivered())

    def _take_back(self, message: Message) -> None:
        """Requests came back unroutable: nobody consumes the service's queue."""
        for request in wire.decode_requests(message.body):
            if (waiting := self._pending.get(request.id)) is not None:
                _fail(waiting, _NotDelivered())

    def _kind(self, call: type[Call[Any]]) -> _Kind:
        kind = self._kinds.get(call)
        if kind is None:
            kind = self._kinds[call] = _Kind(
                service_of(call.wire_name),
                Breaker(self._breaker_threshold, self._breaker_open_s),
                msgspec.json.Decoder(reply_type(call)).decode,
                metrics.CALL_SECONDS.labels(call.wire_name).observe,
            )
        return kind


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)
