"""What waits for a person, counted in the menu of every page as far as that is known at once."""

import asyncio
from typing import Any

from gateway.console.gathering import memory
from gateway.console.requests import ConsoleRequest
from payment_svc.contracts import ListPayments
from query_svc.dead_letters.contracts import CountDeadLetters
from shared.errors import Problem
from shared.messages import Call

PATIENCE_S = 0.3
"""No page is kept waiting for its menu."""
MOST = 100
"""More payments than this are not counted."""


async def waiting(request: ConsoleRequest) -> dict[str, str]:
    """How much waits, by the address of the page that shows it; what is nothing or unknown is not there."""
    letters, payments = await asyncio.gather(
        _at_once(request, CountDeadLetters()), _at_once(request, ListPayments(limit=MOST))
    )
    dead = sum(one.dead for one in letters.queues) if letters else 0
    held = len(payments.items) if payments else 0
    counts = {
        "dead-letters": f"{dead:,}" if dead else "",
        "payments": f"{held}{'+' if payments and payments.next else ''}" if held else "",
    }
    return {address: count for address, count in counts.items() if count}


async def _at_once(request: ConsoleRequest, call: Call[Any]) -> Any:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await memory(request).ask(call)).reply
    except (Problem, TimeoutError):  # the page itself says what is away
        return None
