"""A good way to spread coupons over the lines of an order, found soon however many there are. Pure.

Each line in turn, the dearest first, gets the coupon that saves most there. Then every line, and every two of
them with one coupon that is still free, take the best of what they have between them, until nothing gets
better by it. That need not be the cheapest way of all, but comes close (see the tests).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations

from coupon_svc.domain import MAX_PER_LINE, Coupon, saving

BREATH_STEPS = 256
"""So many ways are looked at between two breaths."""
MOST_STEPS = 300_000
"""Ways to look at before what was found by then will do; about a second."""
PROMISING = 12
"""How many of the free coupons are tried two by two: those that save most alone."""

Use = tuple[int, ...]
"""What a line uses, by the numbers of the coupons' terms."""


def spread(
    prices: Sequence[int],
    stacks: Sequence[Sequence[Coupon]],
    between_steps: Callable[[], None] = lambda: None,
) -> list[Use]:
    """What each line uses, of coupons that lie in stacks of equal terms; `between_steps` as in `cheapest`."""
    table = _Table(prices, stacks, between_steps)
    for line in range(len(prices)):
        table.improve(line, most=1)
    while table.improve_all():
        pass
    return table.uses


class _Table:
    """The lines, what they use now, and how many of each stack are still free."""

    def __init__(
        self, prices: Sequence[int], stacks: Sequence[Sequence[Coupon]], between_steps: Callable[[], None]
    ) -> None:
        self._between_steps = between_steps
        self.uses: list[Use] = [() for _ in prices]
        self._prices = prices
        self._stacks = stacks
        self._free = Counter({number: len(stack) for number, stack in enumerate(stacks)})
        self._known: dict[tuple[int, Use], int] = {}
        self._steps = 0

    def improve_all(self) -> bool:
        """Improve each line and each two; whether anything got better."""
        lines = range(len(self._prices))
        better = [self.improve(line) for line in lines]
        better += [self._improve_two(one, other) for one, other in combinations(lines, 2)]
        return any(better)

    def improve(self, line: int, most: int = MAX_PER_LINE) -> bool:
        """Give a line the best of its own and the free coupons, so many at most."""
        if self._steps > MOST_STEPS:
            return False
        free = [number for number, count in self._free.items() if count]
        free.sort(key=lambda number: -self._saves(line, (number,)))
        pool = [number for number in free[:PROMISING] for _ in range(min(self._free[number], MAX_PER_LINE))]
        best = max(_uses((*self.uses[line], *pool), most), key=lambda use: self._saves(line, use))
        if self._saves(line, best) <= self._saves(line, self.uses[line]):
            return False
        self._take(line, best)
        return True

    def _improve_two(self, one: int, other: int) -> bool:
        if self._steps > MOST_STEPS:
            return False
        now = self._saves(one, self.uses[one]) + self._saves(other, self.uses[other])
        own = (*self.uses[one], *self.uses[other])
        for spare in ((), *((number,) for number, count in self._free.items() if count)):
            if self._steps > MOST_STEPS:
                return False
            pool = (*own, *spare)
            for use in _uses(pool):
                rest = Counter(pool) - Counter(use)
                match = max(_uses(rest.elements()), key=lambda use: self._saves(other, use))
                if self._saves(one, use) + self._saves(other, match) > now:
                    self._take(one, ())
                    self._take(other, match)
                    self._take(one, use)
                    return True
        return False

    def _take(self, line: int, use: Use) -> None:
        self._free.update(self.uses[line])
        self._free.subtract(use)
        self.uses[line] = use

    def _saves(self, line: int, use: Use) -> int:
        """What a use saves on a line; nothing where it is not allowed."""
        self._steps += 1
        if self._steps % BREATH_STEPS == 0:
            self._between_steps()
        key = self._prices[line], use
        if key not in self._known:
            # Any coupon of a stack will do: they differ in nothing that makes a price.
            self._known[key] = saving(self._prices[line], [self._stacks[number][0] for number in use])
        return self._known[key]


def _uses(pool: Iterable[int], most: int = MAX_PER_LINE) -> Iterator[Use]:
    """Every way to use some coupons of a pool on one line, each way once."""
    numbers = sorted(pool)
    for count in range(most + 1):
        yield from dict.fromkeys(combinations(numbers, count))
