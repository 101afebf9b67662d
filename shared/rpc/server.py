"""The answering side of calls on the broker: a queue per service, answers grouped by who asked."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp.commands import Basic

from shared import topology
from shared.clock import utc_now
from shared.errors import describe
from shared.ids import new_text_id
from shared.logs import log
from shared.rpc import wire
from shared.rpc.answering import Answering

DECLARE_ATTEMPTS = 5


class RpcServer:
    """Takes calls from `rpc.<service>`; answers ready in the same turn of the loop leave together."""

    def __init__(self, service: str, process: str, answering: Answering) -> None:
        self._service = service
        self._process = process
        self._answering = answering
        # The library's lower layer: its messages are built and read at a fraction of the cost.
        self._channel: AbstractChannel | None = None
        self._tag = f"{process} calls"
        self._answers: dict[str, list[wire.Outcome]] = defaultdict(list)
        self._in_hand: Counter[str] = Counter()
        """How many calls are being answered, by who asked."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def set_up(self, connection: AbstractConnection) -> None:
        """Declare, bind and consume as one unit, again if the queue vanishes in between.

        The queue goes with its last consumer, and another replica may be leaving at this very moment.
        """
        for attempt in range(1, DECLARE_ATTEMPTS + 1):
            channel = await connection.channel(publisher_confirms=False)
            lower = await channel.get_underlay_channel()
            try:
                queue = await topology.declare_rpc_queue(channel, self._service)
                await lower.basic_consume(queue.name, self._take, no_ack=True, consumer_tag=self._tag)
            except ChannelNotFoundEntity:
                if attempt == DECLARE_ATTEMPTS:
                    raise
                continue
            self._channel = lower
            return

    async def tear_down(self) -> None:
        """The connection is gone; answers still being made find nobody."""
        self._channel = None

    async def drain(self, seconds: float) -> None:
        """Take no more calls, answer those in hand, at most `seconds`."""
        if self._channel is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._channel.basic_cancel(self._tag)
            except Exception as error:  # a broken channel has no consumer left to cancel
                log.debug("rpc.cancel_failed", **describe(error))
        deadline = asyncio.get_running_loop().time() + seconds
        # What ends here may have begun something else: an answer that is now to be sent.
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    async def _take(self, message: DeliveredMessage) -> None:
        properties = message.header.properties
        try:
            requests = wire.decode_requests(message.body)
        except wire.UNREADABLE as error:
            log.warning("rpc.unreadable_request", app=properties.app_id, **describe(error))
            return
        reply_to = properties.reply_to or ""
        self._in_hand[reply_to] += len(requests)
        for request in requests:
            self._start(self._answer(request, reply_to))

    async def _answer(self, request: wire.Request, reply_to: str) -> None:
        outcome = await self._answering.answer(request)
        self._in_hand[reply_to] -= 1
        ready = self._answers[reply_to]
        if outcome is not None and reply_to:
            ready.append(outcome)
        if self._in_hand[reply_to] == 0:  # there is none to wait for
            del self._in_hand[reply_to]
            await self._send(reply_to)
        elif len(ready) == 1:
            self._start(self._send(reply_to))

    async def _send(self, reply_to: str) -> None:
        """Send what has gathered for one who asked in this turn of the loop."""
        outcomes = self._answers.pop(reply_to, [])
        for part in wire.parts(outcomes, lambda outcome: len(bytes(outcome.data))):
            await self._publish(reply_to, part)

    async def _publish(self, reply_to: str, outcomes: list[wire.Outcome]) -> None:
        if self._channel is None:
            return
        try:
            # Not mandatory: one who stopped waiting has taken the reply queue along.
            await self._channel.basic_publish(
                wire.encode(outcomes),
                routing_key=reply_to,
                properties=Basic.Properties(
                    message_id=new_text_id(),
                    message_type=f"{self._service}.answers",
                    app_id=self._process,
                    timestamp=utc_now(),
                    content_type=wire.CONTENT_TYPE,
                    headers={"x-count": len(outcomes)},
                ),
                mandatory=False,
            )
        except Exception as error:  # the asker learns it from the broken connection, or at its deadline
            log.info("rpc.answer_lost", answers=len(outcomes), **describe(error))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
