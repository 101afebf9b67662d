"""Tickets for event streams, for browsers, whose EventSource can send no header."""

from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from gateway.door.api import BODY, problems
from gateway.door.guards import door_of
from gateway.door.requests import ShopRequest
from gateway.door.roles import SIGNED_IN
from gateway.door.tickets import GOOD_FOR_S


class Stream(Struct, frozen=True, forbid_unknown_fields=True):
    """Which stream is to be opened: its path, such as `/users/me/notifications/events`."""

    path: Annotated[str, Meta(max_length=200, pattern=r"^/[!-~]+/events$")]


class StreamTicket(Struct, frozen=True):
    """What to put into the stream's address, as `?ticket=`, and for how many seconds it is good."""

    ticket: str
    expires_in: int


@post(
    "/stream-tickets",
    operation_id="stream_ticket",
    summary="Get a ticket for an event stream",
    opt=SIGNED_IN,
    responses=problems(*BODY, 401),
)
async def stream_ticket(request: ShopRequest, data: JSONBody[Stream]) -> StreamTicket:
    """A ticket lets you open this one stream, once. Whether you may is decided when it is opened."""
    ticket = door_of(request.app).tickets.make(request.user, data.path)
    return StreamTicket(ticket, GOOD_FOR_S)


routes = [stream_ticket]
