"""What operators do by calls of their own, past the gateway: told as an event of the service they called.

The read side keeps it with all other events, and lists it in the audit log.
"""

from functools import cache
from typing import Any

import msgspec

from shared.database.units import Database, DatabaseUnavailable
from shared.errors import describe
from shared.logs import log
from shared.masks import MASK, masked, says_secret
from shared.messages import Event
from shared.rpc import wire
from shared.rpc.credentials import Caller

NAME = "operator_called"
ARGUMENTS_LETTERS = 1_000
PERSONAL = frozenset({"email", "name", "address", "q"})
"""Arguments that may say who somebody is: events are kept, and nothing personal is in them."""


@cache
def operator_called(service: str) -> type[Event]:
    """`<service>.operator_called`: who called what, with which arguments, and the answer's status."""

    class OperatorCalled(Event, name=f"{service}.{NAME}", subject="call"):
        """An operator has made a call by hand."""

        call: str
        by: str
        arguments: str
        status: int

    return OperatorCalled


async def tell_of_call(
    caller: Caller, call: str, data: bytes, outcome: wire.Outcome | None, database: Database | None
) -> None:
    """Write down that an operator made a call. It is done: nothing that happens here may fail it."""
    status = 503 if outcome is None else outcome.problem.status if outcome.problem is not None else 200
    said = {"call": call, "by": caller.person or caller.name, "arguments": shown(data), "status": status}
    log.info("call.by_operator", **said)
    if database is None:
        return
    event = operator_called(call.partition(".")[0])(**said)

    async def tell(tx: Any) -> None:
        tx.emit(event)

    try:
        await database.transaction(tell)
    except DatabaseUnavailable as error:
        log.error("call.not_audited", **said, **describe(error))


def shown(data: bytes) -> str:
    """The arguments of a call as JSON, not for ever: without secrets and without anything personal."""
    try:
        arguments = msgspec.json.decode(data)
    except wire.UNREADABLE:
        return "unreadable"
    return masked(msgspec.json.encode(_without_secrets(arguments)).decode())[:ARGUMENTS_LETTERS]


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: MASK if says_secret(name) or name in PERSONAL else _without_secrets(one)
            for name, one in value.items()
        }
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value
