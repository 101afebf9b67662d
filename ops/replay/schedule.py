"""Which invoice comes next: the file's order, one at a time per customer. Pure."""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

from ops.replay.retail import Article, Invoice


class Schedule:
    """Hands out invoices so that many customers shop at once but nobody overtakes himself."""

    def __init__(self, invoices: Sequence[Invoice]) -> None:
        self._invoices = invoices
        self._waiting: dict[str, deque[int]] = {}
        for position, invoice in enumerate(invoices):
            self._waiting.setdefault(invoice.customer, deque()).append(position)
        # The next position of every customer who is not busy.
        self._ready = [queue.popleft() for queue in self._waiting.values()]
        heapq.heapify(self._ready)
        self._left = len(invoices)

    @property
    def finished(self) -> bool:
        """Whether every invoice has been handed out."""
        return self._left == 0

    def take(self) -> Invoice | None:
        """The earliest invoice whose customer is idle, or None while all the others are busy."""
        if not self._ready:
            return None
        self._left -= 1
        return self._invoices[heapq.heappop(self._ready)]

    def done(self, invoice: Invoice) -> None:
        """Say that this invoice is settled, so that its customer may go on."""
        queue = self._waiting[invoice.customer]
        if queue:
            heapq.heappush(self._ready, queue.popleft())


def first_orders(invoices: Iterable[Invoice], limit: int | None) -> list[Invoice]:
    """The first `limit` purchases and the cancellations among them; everything for None."""
    chosen: list[Invoice] = []
    orders = 0
    for invoice in invoices:
        if not invoice.cancels:
            if orders == limit:
                break
            orders += 1
        chosen.append(invoice)
    return chosen


def latest_holding(cancellation: Invoice, standing: Sequence[Invoice]) -> Invoice | None:
    """The latest of the customer's standing orders that has all the cancelled articles in these quantities.

    `standing` is in the order of purchase, without those cancelled already: the file names no order, so the
    latest that fits is the best guess.
    """
    wanted = cancellation.quantities()
    for order in reversed(standing):
        if _contains(order.quantities(), wanted):
            return order
    return None


def _contains(bought: dict[Article, int], wanted: dict[Article, int]) -> bool:
    return all(bought.get(article, 0) >= quantity for article, quantity in wanted.items())
