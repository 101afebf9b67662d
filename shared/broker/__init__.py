"""Messages on the wire: how they are packed, and the channels that send and hand them over.

Connections, and what is declared on them, are the client library's business (`link.py`, `topology.py`); what
happens to each message is done here, at a fraction of the cost (docs/adr/0016).
"""

from shared.broker.channel import Channel, Congested, Message, NotConfirmed, Unroutable
from shared.broker.frames import Address, Properties, counted, table

__all__ = [
    "Address",
    "Channel",
    "Congested",
    "Message",
    "NotConfirmed",
    "Properties",
    "Unroutable",
    "counted",
    "table",
]
