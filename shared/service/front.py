"""What stands before the app: requests that are refused before any work is done for them."""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from shared import metrics
from shared.errors import Overloaded
from shared.service.web import PROBLEM_JSON


class Front:
    """An app before another: what `refuses` a request is answered 503 at once, its body unread."""

    def __init__(self, app: ASGIApp, refuses: Callable[[Scope], bool]) -> None:
        self._app = app
        self._refuses = refuses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._refuses(scope):
            metrics.REQUESTS_REFUSED.labels("overloaded").inc()
            await refuse(send)
        else:
            await self._app(scope, receive, send)


async def refuse(send: Send) -> None:
    """Answer that there is more to do than can be done."""
    problem = Overloaded().details()
    body = msgspec.json.encode(problem)
    headers: Any = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"retry-after", b"%d" % (problem.retry_after or 1)),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
