"""The orders: all of them by filters, one with its facts and its timeline as a picture, one raw message."""

from asyncio import gather
from datetime import UTC, datetime
from typing import Annotated, Any, get_args
from uuid import UUID

from litestar import Response, get, post
from litestar.params import PathParameter
from litestar.response import Stream

from gateway.console import pages, words
from gateway.console.filters import Query, takes
from gateway.console.forms import fields
from gateway.console.gathering import Missing, lag, or_missing
from gateway.console.order_card import OrderCard, from_facts, from_order
from gateway.console.requests import ConsoleRequest
from gateway.console.timeline_picture import draw
from gateway.door.roles import SUPPORT
from order_svc.contracts import CancelOrder, GetOrder
from query_svc.contracts import (
    FindOrders,
    GetEvent,
    GetOrderFacts,
    GetTimeline,
    ListEvents,
    OrderStatus,
)
from shared.context import traceparent, working_on
from shared.errors import NotFound, Unavailable

STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus)
SHOWN = 50
LINES_SHOWN = 50
MESSAGES_SHOWN = 100
LONGEST_MESSAGE = 60_000

OrderId = Annotated[UUID, PathParameter(description="The order's id.")]
MessageId = Annotated[str, PathParameter(description="The message's id.", max_length=255)]


@get("/orders", opt=SUPPORT | takes("q", "status", "settled", "from", "to", "after"))
async def list_orders(request: ConsoleRequest) -> Response[str] | Stream:
    """Orders, newest first, that fit the filters in the address."""
    query = Query(request)
    text = query.text("q")
    user = int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
    settled = query.one_of("settled", ("yes", "no"))
    wanted: dict[str, Any] = {
        "status": query.one_of("status", STATUSES),
        "settled": None if settled is None else settled == "yes",
        "since": query.moment("from"),
        "until": query.moment("to"),
        "buyer_id": user,
        "text": None if user else text,
    }
    after = query.uuid("after")

    async def load() -> pages.Facts:
        wanted_page = FindOrders(**wanted, limit=SHOWN, after=after)
        page, counts = await gather(request.rpc.call(wanted_page), lag(request))
        return {
            "orders": page.items,
            "lag": counts,
            "older": query.address(after=page.next) if page.next else None,
            "newest": query.address(after=None) if after else None,
        }

    chosen = {name: request.query_params.get(name, "") for name in ("q", "status", "settled", "from", "to")}
    around = {"chosen": chosen, "statuses": STATUSES, "filtered": any(chosen.values())}
    return await pages.live_page(request, "orders.html", load, **around)


@get("/orders/{order_id:str}", opt=SUPPORT | takes("lines", "messages"))
async def show_order(request: ConsoleRequest, order_id: OrderId) -> Response[str] | Stream:
    """One order: its facts, and how it came to them."""
    query = Query(request)
    page = query.whole("lines", most=1000) or 1
    after = query.whole("messages", least=0) or 0
    first = (page - 1) * LINES_SHOWN

    async def load() -> pages.Facts:
        card, timeline, events = await gather(
            _card(request, order_id),
            or_missing(request.rpc.call(GetTimeline(order_id=order_id))),
            or_missing(
                request.rpc.call(ListEvents(saga_id=str(order_id), limit=MESSAGES_SHOWN, after=after))
            ),
        )
        known = None if isinstance(timeline, Missing) else timeline
        found = None if isinstance(events, Missing) else events
        return {
            "card": card,
            "line_count": len(card.lines),
            "lines": card.lines[first : first + LINES_SHOWN],
            "more_lines": query.address(lines=page + 1) if len(card.lines) > first + LINES_SHOWN else None,
            "fewer_lines": query.address(lines=page - 1) if page > 1 else None,
            "timeline": known,
            "picture": draw(known, datetime.now(UTC)) if known else None,
            "no_timeline": timeline.detail if isinstance(timeline, Missing) else None,
            "events": found.items if found else [],
            "later": query.address(messages=found.next) if found and found.next else None,
            "first": query.address(messages=None) if after else None,
        }

    return await pages.live_page(request, "order.html", load, order_id=order_id)


async def _card(request: ConsoleRequest, order_id: UUID) -> OrderCard:
    """From the order service; while that is away, from what its events have told."""
    try:
        return from_order(await request.rpc.call(GetOrder(order_id=order_id)))
    except Unavailable:
        return from_facts(await request.rpc.call(GetOrderFacts(order_id=order_id)))


@post("/orders/{order_id:str}/cancel", opt=SUPPORT | fields(), status_code=200)
async def cancel_order(request: ConsoleRequest, order_id: OrderId) -> Response[str]:
    """Call the order off, as an admin."""
    with working_on(str(order_id), traceparent()):
        await request.rpc.call(
            CancelOrder(order_id=order_id, by="admin", buyer_id=None, actor=request.user.id)
        )
    return pages.see_other(request, f"/console/orders/{order_id}", said="The order is cancelled.")


@get("/messages/{message_id:str}", opt=SUPPORT | takes())
async def show_message(request: ConsoleRequest, message_id: MessageId) -> Response[str]:
    """One message as it was sent."""
    try:
        event = await request.rpc.call(GetEvent(message_id=message_id))
    except NotFound:
        said = "No event with this id has been received yet. Calls cause events too, but are not stored."
        raise NotFound(said) from None
    body = words.pretty_json(event.data)
    facts = {"event": event, "body": body[:LONGEST_MESSAGE], "left_out": max(0, len(body) - LONGEST_MESSAGE)}
    return pages.page(request, "message.html", facts)


routes = [list_orders, show_order, cancel_order, show_message]
