"""Who says what over the broker: the user that a message bears, which the broker holds against its sender's.

Each service signs in as a user of its own, called like its processes: `<service>-svc`. Every message bears
that name (AMQP's `user_id`; the broker refuses another one), and whoever takes a message looks at it before
anything of the body is read. An event is to come from its publisher. Whoever sends one again, because it
failed, was taken apart or lay among the dead letters, does so under a name of its own, and keeps the
publisher's in a header; that is believed of those alone who may send it again.

Where all services share one user, since nobody could make others, this tells only who has its password.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as LowerConnection

PUBLISHED_BY = "x-published-by"
"""The header of an event that was sent again: as whom it was published first; empty if as nobody."""
STRANGER = "Stranger"
"""The exception of a dead letter that came from somebody who may not have sent it."""
REDRIVER = "query"
"""The service that keeps dead letters, and sends them back."""
MIGRATE = "migrate"
"""The user that declares what there is; it moves messages from queue to queue, and may leave their users."""


def named(service: str) -> str:
    """As whom a service signs in, where it has a user of its own."""
    return f"{service}-svc"


def user_of(connection: LowerConnection) -> str:
    """As whom a connection has signed in."""
    return connection.url.user or "guest"


class Identity(NamedTuple):
    """As whom a process has signed in, and so by which names it knows the others."""

    user_id: str
    is_own: bool
    """Whether every service has a user of its own. Such a one may declare little: the rest is there."""

    def of(self, service: str) -> str:
        """As whom another service signs in."""
        return named(service) if self.is_own else self.user_id


def identify(connection: AbstractConnection, process: str) -> Identity:
    """As whom a process (`item-svc#1`, or a service's `app_id`) has signed in on a connection that is up."""
    if connection.transport is None:
        raise ConnectionError("the connection is closed")
    user_id = user_of(connection.transport.connection)
    return Identity(user_id, user_id == process.partition("#")[0])


class Sent(Protocol):
    """A message, as far as it tells who sent it."""

    @property
    def user_id(self) -> str | None:
        """As whom it was published, which the broker has checked."""

    @property
    def headers(self) -> Mapping[str, Any] | None:
        """What its sender added."""


class Origin(NamedTuple):
    """Where the events of a queue have to come from."""

    publisher: str
    """The user whose events they are."""
    resenders: frozenset[str]
    """The users who may send them again."""

    def publisher_of(self, sent: Sent) -> str:
        """Whose event it is, as far as that can be believed; empty if nobody's."""
        user_id = sent.user_id or ""
        if user_id in self.resenders and sent.headers and PUBLISHED_BY in sent.headers:
            return str(sent.headers[PUBLISHED_BY])
        return user_id

    def is_strange(self, sent: Sent) -> bool:
        """Whether it comes from somebody else."""
        return self.publisher_of(sent) != self.publisher


def origin(us: Identity, consumer: str, publisher: str) -> Origin:
    """Where the events of a publisher have to come from that a consumer hears in a queue."""
    return Origin(us.of(publisher), frozenset({us.of(consumer), us.of(REDRIVER)}))
