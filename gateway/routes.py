"""All routes of the shop under one router, which says how each of their requests is treated."""

from typing import Any

from litestar import Router

from gateway.docs import asyncapi_page
from gateway.docs import openapi as docs
from gateway.door.guards import at_the_door
from gateway.door.requests import ShopRequest
from gateway.operators import audit, dead_letters, ops, orphans
from gateway.operators import payments as resolving
from gateway.shop import (
    cart,
    coupons,
    items,
    notifications,
    order_stream,
    orders,
    payments,
    personal,
    placing,
    points,
    quotes,
    stats,
    stream_tickets,
    timeline,
    users,
)

LARGEST_BODY = 1024 * 1024


def _noun(tag: str, handlers: list[Any]) -> Router:
    return Router("/", route_handlers=handlers, tags=[tag])


shop = Router(
    "/",
    route_handlers=[
        _noun("users", [*users.routes, *personal.routes]),
        _noun("notifications", notifications.routes),
        _noun("items", items.routes),
        _noun("cart", cart.routes),
        _noun("coupons", coupons.routes),
        _noun("quotes", quotes.routes),
        _noun(
            "orders",
            [*placing.routes, *orders.routes, *order_stream.routes, *stream_tickets.routes, *timeline.routes],
        ),
        _noun("payments", payments.routes),
        _noun("points", points.routes),
        _noun("operators", [*ops.routes, *orphans.routes, *resolving.routes, *audit.routes]),
        _noun("dead letters", dead_letters.routes),
        _noun("figures", stats.routes),
        *docs.routes,
        *asyncapi_page.routes,
    ],
    before_request=at_the_door,
    request_class=ShopRequest,
    request_max_body_size=LARGEST_BODY,
)
