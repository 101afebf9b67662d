"""All pages of the console under one router, which lets operators in and shows what goes wrong as a page."""

from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import msgspec
from litestar import Request, Response, Router, get
from litestar.params import FromPath

from gateway.console import (
    audit,
    dead_letters,
    menu,
    orders,
    overdue,
    pages,
    payments,
    queues,
    sales,
    services,
    session,
    sign_in,
)
from gateway.console.forms import FIELDS, FORM_TOKEN, refuse_unknown
from gateway.console.requests import ConsoleRequest
from gateway.door.guards import QUERY, check_roles, door_of, refuse_untidy
from gateway.door.roles import allowed
from shared.errors import NotFound, ProblemDetails
from shared.service.web import exception_handlers

LARGEST_FORM = 64 * 1024
_ASSETS = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


async def let_in(request: Request[Any, Any, Any]) -> None:
    """`before_request` of all pages: operators alone, and forms from our own pages alone."""
    asked = cast(ConsoleRequest, request)
    acting = request.method not in ("GET", "HEAD")
    try:
        if acting:
            session.check_origin(request)
        if not request.route_handler.opt.get(sign_in.OPEN):
            app = request.app.state
            renewals = app.setdefault("console_renewals", session.Renewals())
            request.state["session"], request.state["renewed"] = await session.identify(request, renewals)
            check_roles(allowed(request.route_handler.opt) or menu.STAFF, asked.user)
            if acting:
                fields = request.state["fields"] = await asked.fields()
                session.check_form(asked.operator, dict(fields).get(FORM_TOKEN, ""))
                refuse_unknown((name for name, _ in fields), asked.route_handler.opt.get(FIELDS, ()))
            elif not asked.wants_stream:
                request.state["waiting"] = await menu.waiting(asked)
        refuse_untidy(asked)
    finally:
        door_of(request.app).count(request)


@get("/", sync_to_thread=False)
def home(request: ConsoleRequest) -> Response[str]:
    """The console begins with the first page that one may see."""
    return pages.see_other(request, f"/console/{menu.pages_for(request.user.roles)[0][0]}")


@get("/{path:path}", opt={QUERY: None}, sync_to_thread=False)
def nowhere(request: ConsoleRequest, path: FromPath[str]) -> Response[str]:
    """Whatever else somebody looks for below /console."""
    raise NotFound("There is no such page.")


@get("/static/{name:str}", opt={sign_in.OPEN: True, QUERY: ("v",)}, sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    """The style, the script, the icon."""
    if name not in _ASSETS:
        raise NotFound("There is nothing at this path.")
    kept = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response((pages.HERE / "static" / name).read_bytes(), media_type=_ASSETS[name], headers=kept)


def _show_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Somebody who is not signed in is shown the way; everything else that went wrong is told."""
    asked = ConsoleRequest(request.scope, request.receive, request.send)  # the framework gives a plain one
    answer = _plainly(request, error)
    problem = msgspec.json.decode(cast(bytes, answer.content), type=ProblemDetails)
    if asked.wants_stream:
        return answer
    if problem.status == HTTPStatus.UNAUTHORIZED:
        then = asked.asked_for if request.method == "GET" else "/console"
        return pages.see_other(asked, f"/console/sign-in?then={quote(then)}")
    return pages.problem_page(asked, problem)


def _plainly(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The problem that the rest of the gateway would answer."""
    kind = next(kind for kind in type(error).__mro__ if kind in exception_handlers)
    return cast(Response[Any], exception_handlers[kind](request, error))


console = Router(
    "/console",
    route_handlers=[
        home,
        nowhere,
        asset,
        *sign_in.routes,
        *orders.routes,
        *dead_letters.routes,
        *queues.routes,
        *overdue.routes,
        *payments.routes,
        *services.routes,
        *sales.routes,
        *audit.routes,
    ],
    before_request=let_in,
    exception_handlers=dict.fromkeys(exception_handlers, _show_problem),
    request_class=ConsoleRequest,
    request_max_body_size=LARGEST_FORM,
    include_in_schema=False,
)
