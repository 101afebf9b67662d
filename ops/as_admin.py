"""Commands of operators: signed in as the shop's admin, and told in words what went wrong."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL, admin_password
from ops.shop import Away, Refused, Session, Shop


def as_admin(run: Callable[[Session], Awaitable[int]]) -> int:
    """Do something as the admin of the local run; returns an exit code, and says what went wrong."""
    try:
        return asyncio.run(_signed_in(current_layout(), run))
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    except Away as error:
        print(f"the shop does not answer ({error}); `./just up` starts it", file=sys.stderr)
    except Refused as refusal:
        print(refusal.problem.detail if refusal.status == 404 else refusal, file=sys.stderr)
    return 1


async def _signed_in(at: Layout, run: Callable[[Session], Awaitable[int]]) -> int:
    async with Shop(at.gateway_url) as shop:
        return await run(await shop.sign_in(ADMIN_EMAIL, admin_password()))
