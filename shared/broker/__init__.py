"""Messages on the wire: how they are packed, the channels that carry them, what queues are called.

Connections, and what is declared on them, are the client library's business (`link.py`, `topology.py`); what
happens to each message is done here, at a fraction of the cost (docs/adr/0016).
"""

from shared.addresses import AMQP, HTTP, parse, to_try
from shared.broker.channel import Channel, Congested, Message, NotConfirmed, Refused, Unroutable
from shared.broker.frames import Address, Properties, counted, table
from shared.broker.headers import OCTETS as UNREADABLE_OCTETS
from shared.broker.headers import WHY as WHY_UNREADABLE
from shared.broker.identity import PUBLISHED_BY, STRANGER, Identity, identify, origin
from shared.broker.topology import RPC_EXCHANGE, dead_name, rpc_queue

__all__ = [
    "AMQP",
    "HTTP",
    "PUBLISHED_BY",
    "RPC_EXCHANGE",
    "STRANGER",
    "UNREADABLE_OCTETS",
    "WHY_UNREADABLE",
    "Address",
    "Channel",
    "Congested",
    "Identity",
    "Message",
    "NotConfirmed",
    "Properties",
    "Refused",
    "Unroutable",
    "counted",
    "dead_name",
    "identify",
    "origin",
    "parse",
    "rpc_queue",
    "table",
    "to_try",
]
