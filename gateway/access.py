"""Which role may ask on which route, as the routes themselves say it: the table of docs/roles.md."""

from collections.abc import Iterator
from typing import NamedTuple

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from gateway.console import menu, sign_in
from gateway.door.roles import ROLES, Allowed, allowed

CONSOLE = "/console"
OF_EVERY_PROCESS = ("/calls/", "/livez", "/metrics", "/readyz", "/schema")
"""Routes that are no part of the shop: those of any service, and the framework's own."""
YES, OWN_ONLY, NO = "yes", "own", ""


class Access(NamedTuple):
    """A route, and who may ask there; None for everybody."""

    method: str
    path: str
    who: Allowed | None


def access(app: Litestar) -> list[Access]:
    """Every route of the shop and its console with who may ask there, by path."""
    found = {
        Access(method, route.path_format, who_of(handler, route.path_format))
        for route in app.routes
        if isinstance(route, HTTPRoute) and not route.path_format.startswith(OF_EVERY_PROCESS)
        for handler in route.route_handlers
        for method in handler.http_methods - {"OPTIONS", "HEAD"}
    }
    return sorted(found, key=lambda one: (one.path, one.method))


def who_of(handler: HTTPRouteHandler, path: str) -> Allowed | None:
    """Who may ask on a route. In the console those with a page, where the route does not say otherwise."""
    who = allowed(handler.opt)
    if who is None and path.startswith(CONSOLE) and not handler.opt.get(sign_in.OPEN):
        return menu.STAFF
    return who


def table(app: Litestar) -> str:
    """The table in Markdown. `own`: only what is one's own."""
    return "\n".join(_lines(app)) + "\n"


def _lines(app: Litestar) -> Iterator[str]:
    yield f"| route | nobody | {' | '.join(ROLES)} |"
    yield "|---" * (len(ROLES) + 2) + "|"
    for method, path, who in access(app):
        cells = [_word(who, role) for role in ROLES]
        yield f"| {method} `{path}` | {YES if who is None else NO} | {' | '.join(cells)} |"


def _word(who: Allowed | None, role: str) -> str:
    if who is None or role in who.unlimited:
        return YES
    if role not in who.roles:
        return NO
    return OWN_ONLY
