"""The menu: the pages that one may see, and how much waits there as far as that is known at once."""

import asyncio
from typing import Any

from gateway.console.gathering import memory
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import ADMIN, FINANCE, SUPPORT, WHO, Allowed
from payment_svc.contracts import ListPayments
from query_svc.dead_letters.contracts import CountDeadLetters
from shared.errors import Problem
from shared.messages import Call
from user_svc.contracts import Role

PAGES: tuple[tuple[str, str, str, Allowed], ...] = (
    ("orders", "Orders", "1", SUPPORT[WHO]),
    ("dead-letters", "Dead letters", "2", ADMIN[WHO]),
    ("queues", "Outbox and queues", "3", ADMIN[WHO]),
    ("overdue", "Overdue orders", "4", SUPPORT[WHO]),
    ("payments", "Payments", "9", FINANCE[WHO]),
    ("flow", "Flow", "5", ADMIN[WHO]),
    ("sales", "Sales", "6", FINANCE[WHO]),
    ("services", "Services", "7", ADMIN[WHO]),
    ("audit", "Audit log", "8", ADMIN[WHO]),
)
"""Address, name and access key of each page, in the order of the menu, and who may see it."""
_MAY_SEE_ANY = frozenset(role for *_, who in PAGES for role in who.roles)
STAFF = Allowed(roles=_MAY_SEE_ANY, unlimited=_MAY_SEE_ANY)
"""Who may see any page at all."""
PATIENCE_S = 0.3
"""No page is kept waiting for its menu."""
MOST = 100
"""More payments than this are not counted."""


def pages_for(roles: frozenset[Role]) -> list[tuple[str, str, str]]:
    """Address, name and access key of the pages that these roles may see."""
    return [(address, name, key) for address, name, key, who in PAGES if who.lets_in(roles)]


async def waiting(request: ConsoleRequest) -> dict[str, str]:
    """How much waits, by the address of the page that shows it; what is nothing or unknown is not there.

    Only what is on a page that the operator may see is asked for.
    """
    seen = {address for address, _, _ in pages_for(request.user.roles)}
    letters, payments = await asyncio.gather(
        _at_once(request, CountDeadLetters() if "dead-letters" in seen else None),
        _at_once(request, ListPayments(limit=MOST) if "payments" in seen else None),
    )
    dead = sum(one.dead for one in letters.queues) if letters else 0
    held = len(payments.items) if payments else 0
    counts = {
        "dead-letters": f"{dead:,}" if dead else "",
        "payments": f"{held}{'+' if payments and payments.next else ''}" if held else "",
    }
    return {address: count for address, count in counts.items() if count}


async def _at_once(request: ConsoleRequest, call: Call[Any] | None) -> Any:
    if call is None:
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await memory(request).ask(call)).reply
    except (Problem, TimeoutError):  # the page itself says what is away
        return None
