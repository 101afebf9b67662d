"""The answering side of calls on the broker: a queue per service, answers grouped by who asked.

A broker that has hung wakes up with what callers wrote to it before, long after these were told that it came
to nothing; no reset takes that back out of its sockets, and to the broker it is new. So a server whose own
link was silent takes nothing from it for a moment: whoever still waits is told to ask over HTTP. The same
holds for a server that has hung itself, and has calls in its own socket.
"""

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import suppress

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from shared.broker import Address, Channel, Congested, Message, Properties, counted, table, topology
from shared.broker.identity import PUBLISHED_BY, STRANGER, Identity, identify
from shared.broker.pulse import Pulse, pulse_of
from shared.broker.strangers import Strangers
from shared.clock import utc_now
from shared.errors import Unavailable, describe
from shared.ids import new_text_id
from shared.logs import log
from shared.rpc import wire
from shared.rpc.answering import Answering
from shared.rpc.callers import callers_of

DECLARE_ATTEMPTS = 5


class RpcServer:
    """Takes calls from `rpc.<service>`; answers ready in the same turn of the loop leave together."""

    def __init__(self, service: str, process: str, answering: Answering) -> None:
        self._service = service
        self._process = process
        self._answering = answering
        self._channel: Channel | None = None
        self._following: tuple[AbstractConnection, Channel] | None = None
        """Where calls are taken already, while the link moves there."""
        self._tag = f"{process} calls"
        self._answers: dict[str, list[wire.Outcome]] = defaultdict(list)
        self._in_hand: Counter[str] = Counter()
        """How many calls are being answered, by who asked."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers = Strangers(topology.rpc_queue(service))
        self._forbidden: dict[str, frozenset[str]] = {}
        self._is_silent = False
        self._pulse: Pulse | None = None
        self._stale_s = 0.0
        self._stale_until = 0.0
        """Until then the broker, which was silent, may hand over what it was told before."""

    async def set_up(self, connection: AbstractConnection) -> None:
        """Take calls, and answer them, on a fresh connection."""
        if (pulse := pulse_of(connection)) is not None:
            pulse.tell(self._hear_of_silence)
            self._stale_s = pulse.deadline_s
        self._pulse = pulse
        if self._is_silent:  # so the last link ended
            self._hear_of_silence(False)
        self._forbidden = self._forbidden_to(identify(connection, self._process))
        following, self._following = self._following, None
        if following is not None and following[0] is connection:
            self._channel = following[1]
        else:
            self._channel = await self._consume(connection)

    async def move(self, connection: AbstractConnection) -> None:
        """Take calls on the connection that comes next, before the present one is left.

        The queue goes with its last consumer, and with it a call that arrives at that very moment: its caller
        would wait for nothing.
        """
        self._following = connection, await self._consume(connection)

    async def _consume(self, connection: AbstractConnection) -> Channel:
        """Declare, bind and consume as one unit, again if the queue vanishes in between.

        The queue goes with its last consumer, and another replica may be leaving at this very moment.
        """
        us = identify(connection, self._process)
        for attempt in range(1, DECLARE_ATTEMPTS + 1):
            try:
                async with connection.channel() as declaring:
                    if not us.is_own:
                        await topology.declare_rpc_exchange(declaring)
                    queue = await topology.declare_rpc_queue(declaring, self._service)
                channel = await Channel.open(connection)
                await channel.consume(queue.name, self._tag, self._take, no_ack=True)
            except ChannelNotFoundEntity:
                if attempt == DECLARE_ATTEMPTS:
                    raise
                continue
            return channel
        raise AssertionError("the last attempt returns or raises")

    async def tear_down(self) -> None:
        """The connection is gone; answers still being made find nobody."""
        if self._channel is not None:
            self._channel.give_up()
        self._channel = self._following[1] if self._following is not None else None

    async def drain(self, seconds: float) -> None:
        """Take no more calls, answer those in hand, at most `seconds`."""
        if self._channel is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._channel.cancel(self._tag)
            except Exception as error:  # a broken channel has no consumer left to cancel
                log.debug("rpc.cancel_failed", **describe(error))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        await asyncio.sleep(0)  # answers that were to leave together in the next turn
        if self._channel is not None:
            await self._channel.flush(seconds)

    def _hear_of_silence(self, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._stale_until = time.monotonic() + self._stale_s

    def _take(self, message: Message) -> None:
        arrived = time.monotonic()
        forbidden = self._forbidden.get(message.properties.user_id or "")
        reply_to = message.properties.reply_to or ""
        # An answer to any other queue would be a message of ours there, by a stranger's will.
        if forbidden is None or not (reply_to == "" or reply_to.startswith(topology.REPLIES)):
            self._put_down(message)
            return
        try:
            requests = wire.decode_requests(message.body)
        except wire.UNREADABLE as error:
            log.warning("rpc.unreadable_request", app=message.properties.app_id, **describe(error))
            return
        if any(request.call in forbidden for request in requests):
            self._put_down(message)
            return
        if self._may_be_stale(arrived):
            self._put_aside(requests, reply_to)
            return
        self._in_hand[reply_to] += len(requests)
        for request in requests:
            task = asyncio.create_task(self._answer(request, reply_to, arrived))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _forbidden_to(self, us: Identity) -> dict[str, frozenset[str]]:
        """The calls that somebody may not make who may make others, by user. All others may make none."""
        if not us.is_own:
            return {us.user_id: frozenset()}
        makers = {name: callers_of(name) for name in self._answering.names}
        return {
            us.of(maker): frozenset(name for name, allowed in makers.items() if maker not in allowed)
            for maker in set[str]().union(*makers.values())
        }

    def _put_down(self, message: Message) -> None:
        """Leave what a stranger sent to the operators, as it came. He gets no answer."""
        self._strangers.note(message.properties)
        original = message.properties
        headers = {
            PUBLISHED_BY: original.user_id or "",
            "x-exception": STRANGER,
            "x-failed-at": utc_now().isoformat(),
            "x-service": self._process,
            "x-queue": topology.rpc_queue(self._service),
        }
        properties = Properties(
            message_id=original.message_id or new_text_id(),
            type=original.message_type or "",
            app_id=original.app_id or "",
            timestamp=utc_now(),
            content_type=original.content_type or wire.CONTENT_TYPE,
            headers=table(headers),
            is_persistent=True,
        )
        dead = Address("", topology.dead_name(topology.rpc_queue(self._service)), mandatory=False)
        if self._channel is not None:
            with suppress(Congested):  # it was counted and told; more than that is not worth the room
                self._channel.publish(dead, properties, message.body)

    def _may_be_stale(self, now: float) -> bool:
        """Whether what arrives may have lain in a socket for long: the broker's, or ours."""
        if self._is_silent or now < self._stale_until:
            return True
        return self._pulse is not None and self._pulse.was_held_up(now)

    def _put_aside(self, requests: list[wire.Request], reply_to: str) -> None:
        log.info("rpc.stale_requests", calls=len(requests))
        problem = Unavailable("The broker or this service hung: what arrives may be old.").details()
        self._answers[reply_to] += [
            wire.Outcome(id=request.id, begun=False, problem=problem) for request in requests
        ]
        self._send(reply_to)

    async def _answer(self, request: wire.Request, reply_to: str, arrived: float) -> None:
        outcome = await self._answering.answer(request, arrived)
        self._in_hand[reply_to] -= 1
        ready = self._answers[reply_to]
        if outcome is not None and reply_to:
            ready.append(outcome)
        if self._in_hand[reply_to] == 0:  # there is none to wait for
            del self._in_hand[reply_to]
            self._send(reply_to)
        elif len(ready) == 1:
            asyncio.get_running_loop().call_soon(self._send, reply_to)

    def _send(self, reply_to: str) -> None:
        """Send what has gathered for one who asked in this turn of the loop."""
        outcomes = self._answers.pop(reply_to, [])
        if self._channel is None:  # the asker learns it from the broken connection, or at its deadline
            log.info("rpc.answers_lost", answers=len(outcomes))
            return
        # Not mandatory: one who stopped waiting has taken the reply queue along.
        address = Address("", reply_to, mandatory=False)
        for part in wire.parts(outcomes, lambda outcome: len(bytes(outcome.data))):
            properties = Properties(
                message_id=new_text_id(),
                type=f"{self._service}.answers",
                app_id=self._process,
                timestamp=utc_now(),
                content_type=wire.CONTENT_TYPE,
                headers=counted(len(part)),
            )
            try:
                self._channel.publish(address, properties, wire.encode(part))
            except Congested as error:  # the asker finds it out at its deadline
                log.info("rpc.answers_lost", answers=len(part), **describe(error))
