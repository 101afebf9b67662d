"""How many orders may be under way at once, so that what is accepted is also fulfilled in time. Pure.

A buyer is answered when an order has been placed, but the work only begins then: with more orders than item
and coupon can serve, they would wait longer and longer, and end by their deadline. So each gateway counts the
orders that it placed and that have not ended yet; the time that they take says how many there may be.

Not all that are pending stand in a queue. An order is passed over once one that was placed later is
completed: it waits for something of its own, such as a participant that is away. After `patience_s` it is not
counted either, and while none is completed at all, as with the broker away, nothing can be said about the
pace. Orders paid with a card are never counted: they wait for the payment gateway. See docs/adr/0027.
"""

from collections import deque
from collections.abc import Hashable

from shared.rpc import Limit

MOST = 2000
"""Orders of one gateway under way at once, and its limit until times show something else."""
BEARABLE = 0.25
"""The part of the patience that orders may take on average before fewer are let in."""
SLACK_S = 0.5
"""Orders of one list end in any sequence; only one placed so much later shows that another is passed over."""
WINDOW_S = 1.0
FEW = 8
"""So few completed orders within the window say nothing about a queue."""
BEHIND_SHARE = 0.25
"""The shop is behind if so many of the last completed orders took longer than the patience."""


class OrdersUnderWay:
    """The orders placed here that have not ended yet; times are of any steady clock, in seconds."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._be_patient(2.0)
        self._counted: dict[Hashable, float] = {}
        """When each was placed, the oldest first."""
        self._passed_over: dict[Hashable, float] = {}
        self._completed: deque[tuple[float, bool]] = deque()
        """When, and whether late, of those within the window."""
        self._late = 0

    def __len__(self) -> int:
        return len(self._counted)

    def is_full(self, now: float, patience_s: float) -> bool:
        """Whether no more orders are to be placed at present. Never, with a patience of 0."""
        if not patience_s:
            return False
        if patience_s != self._patience_s:
            self._be_patient(patience_s)
        self._pass_over(now - self._patience_s)
        if len(self._counted) >= self._most:
            return True
        self._forget_completed(now - WINDOW_S)
        if not self._completed:
            return False
        if len(self._completed) > FEW and self._late > BEHIND_SHARE * len(self._completed):
            return True
        return len(self._counted) >= self._limit.value

    def placed(self, order: Hashable, now: float) -> None:
        """Count an order in."""
        self._counted[order] = now
        self._pass_over(now - self._patience_s)

    def completed(self, order: Hashable, now: float) -> None:
        """An order was fulfilled; how long that took is what the limit follows."""
        under_way = len(self._counted)
        began = self._counted.pop(order, None)
        if began is not None:
            self._limit.ended(now - began, under_way, now)
            self._pass_over(began - SLACK_S)
        else:
            began = self._passed_over.pop(order, None)
            if began is None:
                return
        late = now - began > self._patience_s
        self._completed.append((now, late))
        self._late += late
        self._forget_completed(now - WINDOW_S)

    def ended(self, order: Hashable) -> None:
        """An order has failed, or was never placed: that says nothing about the pace."""
        self._counted.pop(order, None)
        self._passed_over.pop(order, None)

    def _be_patient(self, seconds: float) -> None:
        self._patience_s = seconds
        self._limit = Limit(self._most, (seconds * BEARABLE, seconds * BEARABLE))

    def _pass_over(self, placed_before: float) -> None:
        while self._counted:
            order, began = next(iter(self._counted.items()))
            if began > placed_before:
                return
            del self._counted[order]
            self._passed_over[order] = began
            if len(self._passed_over) > 10 * self._most:
                del self._passed_over[next(iter(self._passed_over))]

    def _forget_completed(self, before: float) -> None:
        while self._completed and self._completed[0][0] < before:
            _, late = self._completed.popleft()
            self._late -= late
