"""The headers of every answer: what a browser may do with it, and which other sites' pages may read it.

They stand around the app, so that errors, unknown paths and refusals before any work have them, too. What a
page says for itself (its own content security policy, how long it may be kept) stays as it is.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway.settings import GatewaySettings, origins
from shared.service import client_of, networks

Headers = Sequence[tuple[bytes, bytes]]

ALWAYS: dict[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
NOT_KEPT = (b"cache-control", b"no-store")
"""Of all that says nothing else: most answers tell of somebody, and some hold tokens."""
ASKED_AGAIN = (b"cache-control", b"private, no-cache")
"""Of what has an ETag: a browser may keep it, and asks whether it is still so."""
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
EXPOSED = b"Allow, ETag, Location, Retry-After, WWW-Authenticate"
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-API-Key"
)
PREFLIGHT_S = b"600"


class Dressing:
    """Puts headers on the answers of one process."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._origins = origins(settings.cors_origins)
        self._proxies = networks(settings.trusted_proxies)

    def around(self, app: ASGIApp) -> ASGIApp:
        """The app, its answers dressed; HEAD is answered as GET is, without the body."""

        async def dressed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            asked: Any = scope
            headless = asked["method"] == "HEAD"
            over = False

            async def send_dressed(message: Message) -> None:
                nonlocal over
                told: Any = message
                if told["type"] == "http.response.start":
                    told["headers"] = self._dress(asked, list(told["headers"]))
                elif headless:
                    # Its end is told at once: a stream might have none, and is given up when nobody listens.
                    if over:
                        return
                    over = True
                    told |= {"body": b"", "more_body": False}
                await send(message)

            if self._origins and (preflight := self._preflight(asked)) is not None:
                await send_dressed({"type": "http.response.start", "status": 204, "headers": preflight})
                await send_dressed({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await app({**asked, "method": "GET"} if headless else scope, receive, send_dressed)

        return dressed

    def early(self, scheme: str, peer: str, asked: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The headers of an answer that is given before the app hears of the request."""
        scope = {"scheme": scheme, "client": (peer, 0), "headers": list(asked), "path": ""}
        return self._dress(scope, [])

    def _dress(self, scope: Any, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = {name for name, _ in headers}
        headers += [pair for pair in ALWAYS.items() if pair[0] not in given]
        if b"cache-control" not in given:
            headers.append(ASKED_AGAIN if b"etag" in given else NOT_KEPT)
        if self._is_https(scope):
            headers.append(HTTPS_ONLY)
        if self._origins:
            headers = _vary(headers)
            origin = _header(scope, b"origin")
            if origin in self._origins and not scope["path"].startswith("/console"):
                headers += [
                    (b"access-control-allow-origin", origin),
                    (b"access-control-expose-headers", EXPOSED),
                ]
        return headers

    def _preflight(self, scope: Any) -> list[tuple[bytes, bytes]] | None:
        """The answer to a browser that asks whether a page may send a request; None if none asks."""
        if scope["method"] != "OPTIONS" or not _header(scope, b"access-control-request-method"):
            return None
        if _header(scope, b"origin") not in self._origins or scope["path"].startswith("/console"):
            return []
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", PREFLIGHT_S),
        ]

    def _is_https(self, scope: Any) -> bool:
        if scope["scheme"] == "https" or not self._proxies:
            return scope["scheme"] == "https"
        peer, _ = scope["client"] or ("", 0)
        return client_of(peer, False, scope["headers"], self._proxies).is_https


def _header(scope: Any, name: bytes) -> bytes:
    return next((value for found, value in scope["headers"] if found == name), b"")


def _vary(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers that say that the answer depends on the origin of who asks."""
    given = [value for name, value in headers if name == b"vary"]
    others = [pair for pair in headers if pair[0] != b"vary"]
    return [*others, (b"vary", b", ".join([*given, b"Origin"]))]
