"""Orders that should have moved on by now, and what each of them waits for."""

from litestar import Response, get
from litestar.response import Stream
from msgspec.structs import replace

from gateway.console import pages
from gateway.console.filters import Query, takes
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import SUPPORT
from order_svc.contracts import ListOverdue

SHOWN = 50


@get("/overdue", opt=SUPPORT | takes("after"))
async def list_overdue(request: ConsoleRequest) -> Response[str] | Stream:
    """Overdue orders, the one that waits longest first."""
    query = Query(request)
    after = query.uuid("after")

    async def load() -> pages.Facts:
        page = await request.rpc.call(ListOverdue(limit=SHOWN, after=after))
        return {
            # How long they are overdue goes on by itself: it is nothing new.
            "orders": [replace(order, overdue_seconds=0.0) for order in page.items],
            "next": query.address(after=page.next) if page.next else None,
            "first": query.address(after=None) if after else None,
        }

    return await pages.live_page(request, "overdue.html", load)


routes = [list_overdue]
