"""A short way through the framework, for the one request that there are most of.

A route's handler takes it as middleware: it stands where the route has been found and what goes wrong is
told as a problem, but before the framework works out parameter by parameter what the handler is to be given.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from gateway.door.requests import ShopRequest

Answer = tuple[int, dict[bytes, bytes], Any]
"""Status, headers and content of a response."""


def fast_path(
    answer: Callable[[ShopRequest], Awaitable[Answer]], *, unless: frozenset[bytes]
) -> Callable[[ASGIApp], ASGIApp]:
    """Middleware that answers by itself, as the handler would; a request with a header of `unless` goes on.

    `answer` does all that the framework would have done for the handler: it lets the request in, reads it,
    and raises what the handler would.
    """

    def middleware(app: ASGIApp) -> ASGIApp:
        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if any(name in unless for name, _ in scope["headers"]):
                await app(scope, receive, send)
                return
            status, headers, content = await answer(ShopRequest(cast(HTTPScope, scope), receive, send))
            body = msgspec.json.encode(content)
            told = {b"content-type": b"application/json", **headers, b"content-length": b"%d" % len(body)}
            await send({"type": "http.response.start", "status": status, "headers": list(told.items())})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        return handle

    return middleware
