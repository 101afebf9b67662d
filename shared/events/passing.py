"""Events that are told in passing: to the taps of whoever runs just now, with no promise and nothing kept.

For services without a database, which have no outbox to keep what is to be told.
"""

from aio_pika.abc import AbstractConnection

from shared.broker import Address, Channel, Congested, Properties, counted, identify, topology
from shared.broker.identity import named
from shared.clock import utc_now
from shared.database.transaction import Emitted
from shared.events import cloudevents
from shared.events.packing import pack
from shared.messages import Event

FORGOTTEN_MS = 5_000
"""After so long nobody needs it any more."""


class Passing:
    """Tells the events of one service, as long as the broker is there."""

    def __init__(self, service: str, process: str) -> None:
        self._service = service
        self._process = process
        self._exchange = topology.events_exchange(service)
        self._channel: Channel | None = None

    async def set_up(self, connection: AbstractConnection) -> None:
        """Take a fresh connection."""
        if not identify(connection, self._process).is_own:
            async with connection.channel() as declaring:
                await topology.declare_events_exchange(declaring, self._service)
        self._channel = await Channel.open(connection)

    async def tear_down(self) -> None:
        """The connection is gone."""
        self._channel = None

    def tell(self, event: Event) -> bool:
        """Send it off; whether anybody hears it is not known. False where it could not even be sent."""
        channel = self._channel
        if channel is None:
            return False
        for message in pack(self._service, [Emitted(event, None)], []):
            properties = Properties(
                message_id=message.id,
                type=message.type,
                app_id=named(self._service),
                timestamp=utc_now(),
                content_type=cloudevents.CONTENT_TYPE,
                headers=counted(message.count),
                expiration_ms=FORGOTTEN_MS,
            )
            try:
                channel.publish(
                    Address(self._exchange, message.type, mandatory=False), properties, message.body
                )
            except Congested:
                return False
        return True
