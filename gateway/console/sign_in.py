"""Signing in to the console and out of it."""

from typing import Annotated

from litestar import Response, get, post
from litestar.params import QueryParameter

from gateway.console import menu, pages, session
from gateway.console.forms import fields, refuse_unknown
from gateway.console.requests import ConsoleRequest
from gateway.door.guards import door_of
from gateway.door.roles import SIGNED_IN
from shared.errors import Forbidden, Problem, TooMany, Unauthorized
from user_svc.contracts import Login, Logout

OPEN = "open"
"""`opt=` of a route that needs no sign-in."""
Then = Annotated[str, QueryParameter(description="Where to go afterwards.")]


@get("/sign-in", opt={OPEN: True}, sync_to_thread=False)
def ask(request: ConsoleRequest, then: Then = "/console") -> Response[str]:
    """The form."""
    return pages.sign_in_page(request, then=_ours(then))


@post("/sign-in", opt={OPEN: True}, status_code=200)
async def sign_in(request: ConsoleRequest) -> Response[str]:
    """Let an operator in; tell everybody else why not."""
    given = await request.fields()
    refuse_unknown((name for name, _ in given), ("email", "password", "then"))
    form = dict(given)
    email, then = form.get("email", ""), _ours(form.get("then", ""))
    try:
        begun = await _session(request, email, form.get("password", ""))
    except (Unauthorized, Forbidden, TooMany) as no:
        return pages.sign_in_page(request, then=then, email=email, wrong=no.detail, status=no.status)
    answer = pages.see_other(request, then)
    answer.set_cookie(begun.cookie(secure=request.is_secure))
    return answer


async def _session(request: ConsoleRequest, email: str, password: str) -> session.Session:
    """Raises `Unauthorized`, `TooMany`, and `Forbidden` for who may see no page."""
    tokens = await request.rpc.call(Login(email=email, password=password, client=request.came_from.address))
    user = await door_of(request.app).tokens.user(f"Bearer {tokens.access_token}")
    if not menu.STAFF.lets_in(user.roles):
        await request.rpc.call(Logout(refresh_token=tokens.refresh_token))
        raise Forbidden(f"{email} has no role with a page in the console, which is for the shop's operators.")
    return session.begin(email, tokens)


@post("/sign-out", opt=SIGNED_IN | fields(), status_code=200)
async def sign_out(request: ConsoleRequest) -> Response[str]:
    """End the session here and at the user service."""
    with_token = Logout(refresh_token=request.operator.refresh_token)
    try:
        await request.rpc.call(with_token)
    except Problem as away:
        said = f"This browser has forgotten you. The session itself could not be ended: {away.detail}"
        answer = pages.see_other(request, "/console/sign-in", said=said)
    else:
        answer = pages.see_other(request, "/console/sign-in")
    answer.set_cookie(session.ended(secure=request.is_secure))
    return answer


def _ours(where: str) -> str:
    """A path of the console, so that nobody can be sent elsewhere from here."""
    inside = where == "/console" or where.startswith(("/console/", "/console?"))
    sane = inside and where.isprintable() and not where.startswith("/console/sign-")
    return where if sane else "/console"


routes = [ask, sign_in, sign_out]
