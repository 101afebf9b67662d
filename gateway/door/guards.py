"""What a request passes before its handler: who asks, in which role and how often, and a tidy query."""

import re
import time
from functools import lru_cache
from typing import Any, cast
from urllib.parse import parse_qsl

from litestar import Litestar, Request

from gateway.contracts import TicketUsed
from gateway.door.auth import TokenReader
from gateway.door.rate_limit import parse_rate
from gateway.door.requests import ShopRequest, User, came_from
from gateway.door.roles import Allowed, allowed
from gateway.door.strict import LONGEST_NAME, MOST_ERRORS
from gateway.door.tickets import Tickets, key_from
from gateway.settings import GatewaySettings
from shared.errors import FieldError, Forbidden, Malformed, NotFound, RuleBroken, Unauthorized
from shared.events import Passing
from shared.rpc import Rpc
from shared.service import owner_of

QUERY = "query"
"""`opt=` of a route: names of query parameters, besides those that its handler takes; None: any."""

TICKET, LAST_EVENT_ID = "ticket", "last_event_id"
STREAM: dict[str, Any] = {QUERY: (TICKET, LAST_EVENT_ID)}
"""`opt=` of an event stream, which a browser may open by its address alone."""

_LAX_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")
_FREE_TEXT = {"q"}


class Door:
    """Lets requests in. One per process: it remembers verified tokens and who asked how often."""

    def __init__(self, rpc: Rpc, settings: GatewaySettings) -> None:
        self.tokens = TokenReader(rpc)
        self.tickets = Tickets(key_from(settings.amqp_url))
        self._limit = parse_rate(settings.rate_limit)

    async def enter(self, request: ShopRequest) -> None:
        """Refuse the request, or let it in with its `user` known where its route asks for one."""
        who = allowed(request.route_handler.opt)
        authorization = request.headers.get("authorization") if who else None
        try:
            if who:
                ticket = None if authorization else ticket_of(request)
                request.scope["user"] = (
                    await self.tokens.user(authorization)
                    if ticket is None
                    else self._ticketed(request, ticket)
                )
        finally:  # a caller who tries tokens is limited as well, by address
            self.count(request)
        if who:
            check_roles(who, request.user)
        refuse_untidy(request)

    def _ticketed(self, request: ShopRequest, text: str) -> User:
        """Who has come with a ticket, which the other gateways are told of. Raises `Unauthorized`."""
        ticket = self.tickets.take(text, request.scope["path"])
        if not self.tokens.counts(ticket.user):
            raise Unauthorized("What this ticket was made for has ended: sign in again.")
        passing: Passing | None = request.app.state["runtime"].passing
        if passing is not None:
            passing.tell(TicketUsed(ticket=ticket.id, ends=ticket.ends))
        return ticket.user

    def count(self, request: Request[Any, Any, Any]) -> None:
        """Count this request against its caller's limit. Raises `TooMany` when that is used up."""
        if self._limit is not None:
            self._limit.take(_caller(request), time.monotonic())


async def at_the_door(request: Request[Any, Any, Any]) -> None:
    """`before_request` of all routes. One hook, because the framework copies the route for every guard."""
    await door_of(request.app).enter(cast(ShopRequest, request))


def ticket_of(request: ShopRequest) -> str | None:
    """The ticket in the address of a stream; None where there is none, or where none counts."""
    if TICKET not in request.route_handler.opt.get(QUERY, ()):
        return None
    return request.query_params.get(TICKET)


def check_roles(who: Allowed, user: User) -> None:
    """Raise `Forbidden` where none of the user's roles is let in."""
    if not who.lets_in(user.roles):
        raise Forbidden(f"This needs one of the roles {', '.join(sorted(who.roles))}.")


def door_of(app: Litestar) -> Door:
    """The door of this process, made when it is first needed."""
    door: Door | None = app.state.get("door")
    if door is None:
        door = app.state["door"] = Door(app.state["rpc"], app.state["settings"])
    return door


def _caller(request: Request[Any, Any, Any]) -> str:
    """Whose request counts together: a user's, else those of an address (of IPv6, its /64)."""
    if user := request.scope.get("user"):
        return f"user {user.id}"
    return owner_of(came_from(request).address)


def refuse_untidy(request: ShopRequest) -> None:
    """Refuse what the framework would overlook or read in a lax way: parameters that the route does not know,
    or that are given twice, and 1.0 or 1e1 for a number.
    """
    for value in request.path_params.values():
        if _is_lax(value):
            raise NotFound("There is nothing at this path.")
    query: bytes = request.scope["query_string"]
    if not query or request.route_handler.opt.get(QUERY, ()) is None:
        return
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Malformed("The query is not percent-encoded UTF-8.") from None
    known = _parameters(request.route_handler, frozenset(request.path_params))
    unknown = sorted({name for name, _ in pairs} - known)
    if unknown:
        allowed = f"expected {', '.join(sorted(known))}" if known else "there are none here"
        raise RuleBroken(
            "A query parameter is not known.",
            errors=[
                FieldError(name[:LONGEST_NAME], f"is not known; {allowed}") for name in unknown[:MOST_ERRORS]
            ],
        )
    seen: set[str] = set()
    for name, value in pairs:
        if name in seen:
            raise Malformed(
                "A query parameter is given twice.", errors=[FieldError(field=name, message="given twice")]
            )
        seen.add(name)
        if name not in _FREE_TEXT and _is_lax(value):
            error = FieldError(field=name, message="Expected a whole number, in digits")
            raise Malformed("A query parameter cannot be read.", errors=[error])


@lru_cache(512)
def _parameters(handler: Any, path: frozenset[str]) -> frozenset[str]:
    """The query parameters of a route: those that its handler takes, and those that its `opt` names."""
    model = handler.create_kwargs_model(path_parameters=dict.fromkeys(path))
    taken = {parameter.field_alias for parameter in model.expected_query_params}
    return frozenset(taken | set(handler.opt.get(QUERY, ())))


def _is_lax(value: str) -> bool:
    return bool(_LAX_NUMBER.fullmatch(value)) and not _WHOLE_NUMBER.fullmatch(value)
