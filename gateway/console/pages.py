"""Pages as answers: rendered whole for a browser, or again and again as a stream of what has changed.

A page that lives is one address with two faces: asked for as HTML it is the page, asked for as an event
stream it sends the page's middle whenever the facts below it have changed. The id of what is sent is a
fingerprint of those facts, so a stream goes on after a break, at whichever gateway process, without a repeat.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote

import msgspec
from litestar import Response
from litestar.datastructures import Cookie
from litestar.response import Stream

from gateway.console import menu, words
from gateway.console import session as sessions
from gateway.console.filters import VERSION
from gateway.console.requests import ConsoleRequest
from gateway.door.sse import News, event_stream
from shared.errors import ProblemDetails, Unavailable
from shared.ids import new_id

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
LOOK_AGAIN_S = 1.0
"""How often a stream looks whether its page has changed."""
SAID = "sagamart_console_said"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",  # what an operator saw is not for whoever uses the browser next
    "Referrer-Policy": "same-origin",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}

Facts: TypeAlias = dict[str, Any]
Load: TypeAlias = Callable[[], Awaitable[Facts]]


def _fingerprint(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=9).hexdigest()


def _asset_url(name: str) -> str:
    """Where a file of `static` is; the address changes with the file, so it can be kept for ever."""
    return f"/console/static/{name}?v={_fingerprint((HERE / 'static' / name).read_bytes())}"


@cache
def _environment() -> "jinja2.Environment":
    import jinja2  # two megabytes, which a gateway whose console nobody opens need not have

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words.FILTERS)
    environment.globals |= {
        "style": _asset_url("console.css"),
        "script": _asset_url("console.js"),
        "icon": _asset_url("icon.svg"),
        "new_id": new_id,
    }
    return environment


def _template(name: str) -> "jinja2.Template":
    return _environment().get_template(name)


def page(request: ConsoleRequest, template: str, facts: Facts, *, status: int = 200) -> Response[str]:
    """A page that stands still."""
    html = _template(template).render(_frame(request), **facts, version=None)
    return _answer(request, html, status)


def page_of_its_own(request: ConsoleRequest, html: str, policy: str) -> Response[str]:
    """A page that is no template of the console's, under its own content security policy."""
    answer = _answer(request, html, 200)
    answer.headers["Content-Security-Policy"] = policy
    return answer


async def live_page(
    request: ConsoleRequest, template: str, load: Load, *, look_again_s: float | None = None, **around: Any
) -> Response[str] | Stream:
    """A page that lives: its template has a block `live`, which shows what `load` finds.

    `around` is what else the template shows; it stays as it is.
    """
    frame = {**_frame(request), **around}
    if request.wants_stream:
        every_s = look_again_s or LOOK_AGAIN_S
        return _stream(request, _news(request, _template(template), frame, load, every_s))
    facts = await load()
    html = _template(template).render({**frame, **facts, "version": _version(facts)})
    return _answer(request, html, 200)


def see_other(request: ConsoleRequest, where: str, *, said: str = "") -> Response[str]:
    """Go and look there, after something was done; the next page says what that was."""
    answer = _answer(request, "", 303)
    answer.headers["Location"] = quote(where, safe="/?&=%:,+-_.~")
    if said:
        answer.set_cookie(_said_cookie(quote(said)))
    return answer


def sign_in_page(
    request: ConsoleRequest, *, then: str, email: str = "", wrong: str = "", status: int = 200
) -> Response[str]:
    """The way in; `wrong` says why it was not."""
    facts = {"then": then, "email": email, "wrong": wrong}
    html = _template("sign_in.html").render({**_frame(request), **facts})
    return _answer(request, html, status)


def problem_page(request: ConsoleRequest, problem: ProblemDetails) -> Response[str]:
    """What went wrong, for a person."""
    again = request.asked_for if request.method == "GET" else None
    facts = {"problem": problem, "again": again, "version": None}
    html = _template("problem.html").render({**_frame(request), **facts})
    answer = _answer(request, html, problem.status)
    if problem.retry_after is not None:
        answer.headers["Retry-After"] = str(problem.retry_after)
    return answer


def _frame(request: ConsoleRequest) -> Facts:
    """What the layout of every page shows."""
    return {
        "layout": "layout.html",
        "path": request.scope["path"],
        "session": request.state.get("session"),
        "pages": menu.pages_for(user.roles) if (user := request.scope.get("user")) else (),
        "waiting": request.state.get("waiting", {}),
        "said": unquote(request.cookies.get(SAID, "")),
    }


def _answer(request: ConsoleRequest, html: str, status: int) -> Response[str]:
    answer = Response(html, status_code=status, media_type="text/html", headers=dict(HEADERS))
    for cookie in _cookies(request):
        answer.set_cookie(cookie)
    if SAID in request.cookies and status != 303:
        answer.set_cookie(_said_cookie("", max_age=0))
    return answer


def _cookies(request: ConsoleRequest) -> list[Cookie]:
    """The session, where its tokens have just been renewed."""
    if not request.state.get("renewed"):
        return []
    return [request.operator.cookie(secure=request.is_secure)]


def _said_cookie(text: str, max_age: int = 30) -> Cookie:
    return Cookie(SAID, value=text, path=sessions.PATH, httponly=True, samesite="strict", max_age=max_age)


def _version(facts: Facts) -> str:
    return _fingerprint(msgspec.json.encode(facts, order="deterministic"))


def _stream(request: ConsoleRequest, news: AsyncGenerator[News, None]) -> Stream:
    stream = event_stream(request, news, whose=request.operator.email)
    stream.cookies.extend(_cookies(request))
    return stream


async def _news(
    request: ConsoleRequest, template: "jinja2.Template", frame: Facts, load: Load, look_again_s: float
) -> AsyncGenerator[News, None]:
    """The page's middle whenever its facts differ from those last sent; word of services that are away."""
    version = request.headers.get("last-event-id") or request.query_params.get(VERSION, "")
    away = False
    while True:
        try:
            facts = await load()
        except Unavailable as problem:
            if not away:
                yield News(version, "away", problem.detail)
            away = True
        else:
            found = _version(facts)
            if found != version or away:
                version, away = found, False
                yield News(found, "page", template.render({**frame, **facts, "layout": "fragment.html"}))
        await asyncio.sleep(look_again_s)
