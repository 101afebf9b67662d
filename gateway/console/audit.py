"""The audit log as a page: what operators did, wherever it was written down."""

from litestar import Response, get
from litestar.response import Stream

from gateway.console import pages
from gateway.console.filters import Query, takes
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import ADMIN
from gateway.operators.audit import audit

SHOWN = 50


@get("/audit", opt=ADMIN | takes("after"))
async def list_audit(request: ConsoleRequest) -> Response[str] | Stream:
    """What operators did, newest first."""
    query = Query(request)
    after = query.text("after", longest=40)

    async def load() -> pages.Facts:
        page = await audit(request, SHOWN, after)
        return {
            "entries": page.items,
            "older": query.address(after=page.next) if page.next else None,
            "newest": query.address(after=None) if after else None,
        }

    return await pages.live_page(request, "audit.html", load)


routes = [list_audit]
