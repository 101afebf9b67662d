"""Taps: events that a process hears for itself while it runs, on a queue that goes with its connection.

Nothing is acknowledged and nothing comes twice: a tap wakes those who wait, and never changes anything.
"""

import secrets
from collections.abc import Callable

import msgspec
from aio_pika.abc import AbstractConnection

from shared import clocks
from shared.broker import Channel, Message, topology
from shared.broker.identity import identify
from shared.broker.strangers import Strangers
from shared.errors import describe
from shared.events.cloudevents import CloudEvent
from shared.events.subscription import UNREADABLE
from shared.logs import log
from shared.messages import service_of
from shared.registry import Tap

LENGTH = 10_000
"""How many messages may wait for a process that is slow; older ones are dropped."""


class Taps:
    """All taps of one process, on one channel."""

    def __init__(self, process: str, taps: tuple[Tap, ...]) -> None:
        self._process = process
        self._taps = taps

    async def set_up(self, connection: AbstractConnection) -> None:
        """Declare and consume a queue for each tap."""
        channel = await Channel.open(connection)
        us = identify(connection, self._process)
        async with connection.channel() as declaring:
            for tap in self._taps:
                event = tap.view.wire_name
                publisher = service_of(event)
                if not us.is_own:
                    await topology.declare_events_exchange(declaring, publisher)
                queue = await declaring.declare_queue(
                    # Traceable, and of this process alone, also where two of them bear one name.
                    f"{topology.taps_of(self._process)}{event}.{secrets.token_hex(3)}",
                    exclusive=True,
                    auto_delete=True,
                    arguments={"x-max-length": LENGTH, "x-overflow": "drop-head"},
                )
                await queue.bind(topology.events_exchange(publisher), routing_key=event)
                listen = _listener(tap, us.of(publisher))
                await channel.consume(queue.name, f"{self._process} tap {event}", listen, no_ack=True)

    async def tear_down(self) -> None:
        """The queues went with the connection."""


def _listener(tap: Tap, publisher: str) -> Callable[[Message], None]:
    """Hands on the events that come from this user."""
    decoder = msgspec.json.Decoder(list[CloudEvent[tap.view]])
    strangers = Strangers(f"tap.{tap.view.wire_name}")

    def listen(message: Message) -> None:
        if message.properties.user_id != publisher:
            strangers.note(message.properties)
            return
        try:
            events = decoder.decode(message.body)
        except UNREADABLE as error:
            log.warning("tap.unreadable", heard=tap.view.wire_name, **describe(error))
            return
        for event in events:
            clocks.note(tap.view.wire_name, event.time)
            try:
                tap.handler(event.data)
            except Exception as error:  # it costs this event only: the others are for somebody else
                log.error("tap.failed", heard=tap.view.wire_name, event_id=event.id, exc_info=error)

    return listen
