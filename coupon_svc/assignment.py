"""The cheapest way to spread coupons over the lines of an order. Pure; exact unless that takes too long.

Coupons of equal terms are interchangeable, so what is searched is how many of which terms go where. Three
facts about `price_with` keep it small. What coupons save rises with the price, and so does whether they may
be used at all: so the dearest lines get them. For the same reason no line goes without while a cheaper one
has some. And without floor prices a larger discount is never worse than a smaller one of its rivals.
Where they are too many and too different all the same, a good way has to do (`spreading.py`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from coupon_svc.domain import MAX_PER_LINE, Coupon, saving
from coupon_svc.kinds import rivals
from coupon_svc.spreading import Use, spread

BREATH_STATES = 128
"""So many states are followed between two breaths; each goes on in up to some dozen ways."""
MOST_STEPS = 1_000_000
"""Steps that a search may take, about half a second; every other kind of terms multiplies them."""


class TooLong(Exception):
    """The search would take more steps than it may."""


class _Choice(NamedTuple):
    """One or two coupons for a line, by number of their terms; `other` is -1 for one alone."""

    saves: int
    adds: int
    one: int
    other: int


def cheapest(
    prices: Sequence[int], coupons: Iterable[Coupon], between_steps: Callable[[], None] = lambda: None
) -> list[list[int]]:
    """Which coupons to use on each of some lines of quantity 1, by price, so that all cost the least.

    `coupons` are those that may be used now. `between_steps` is called now and then; it may raise.
    """
    stacks = _stacks(list(coupons), MAX_PER_LINE * len(prices))
    dearest = sorted(range(len(prices)), key=lambda line: (-prices[line], line))[: sum(map(len, stacks))]
    costs = [prices[line] for line in dearest]
    try:
        chosen = _search(costs, stacks, between_steps)
    except TooLong:
        chosen = spread(costs, stacks, between_steps)
    used: list[list[int]] = [[] for _ in prices]
    for line, use in zip(dearest, chosen, strict=False):
        used[line] = sorted(stacks[number].pop(0).id for number in use)
    return used


def _stacks(coupons: list[Coupon], most: int) -> list[list[Coupon]]:
    """Coupons of equal terms together, those that end first on top; no more of any than can be used."""
    if not any(coupon.floor_price for coupon in coupons):
        coupons = sorted(coupons, key=lambda one: (-one.value, one.valid_until, one.id))
        groups: dict[tuple[str, int], list[Coupon]] = {}
        for one in coupons:
            groups.setdefault(rivals(one.kind, one.value), []).append(one)
        coupons = [one for group in groups.values() for one in group[:most]]
    stacks: dict[tuple[str, int, int], list[Coupon]] = {}
    for coupon in sorted(coupons, key=lambda one: (one.valid_until, one.id)):
        stacks.setdefault((coupon.kind, coupon.value, coupon.floor_price), []).append(coupon)
    return [stack[:most] for stack in stacks.values()]


def _search(
    prices: Sequence[int], stacks: Sequence[Sequence[Coupon]], between_steps: Callable[[], None]
) -> list[Use]:
    """What the first of the lines get, line by line; only what is left of each stack counts.

    How many of each stack are used is one number, the state: a mixed-radix number with a digit for each
    stack, whose radix is the size of the stack plus one. With stacks of 3 and 2 coupons the radixes are 4 and
    3, and the weights of the digits 1 and 4. State 6 = 2 * 1 + 1 * 4 says: two of the first stack and one of
    the second are used. To use one more of the first is to add its weight, 1, which gives 7. A digit must not
    reach its radix: with one more of the first stack, which has only three, 7 + 1 = 8 would read as "none of
    the first, two of the second", and use a coupon that the buyer does not hold.

    Ways that use up the same coupons lead to the same state, and only the best of them is followed: for 20
    lines and 5 coupons each of two terms that is 36 states a line, not 46 million ways with a coupon a line.
    """
    radixes = [len(stack) + 1 for stack in stacks]
    weights = [1]
    for radix in radixes:
        weights.append(weights[-1] * radix)
    steps = 0
    options: dict[int, list[_Choice]] = {}
    layer = {0: 0}
    best_saved, best_state, best_line = 0, 0, 0
    ways: list[dict[int, tuple[int, _Choice]]] = []
    for number, price in enumerate(prices, start=1):
        if price not in options:
            steps = _count(steps, len(stacks) * (len(stacks) + 1))
            options[price] = _choices(price, stacks, weights)
        steps = _count(steps, len(layer) * len(options[price]))
        following: dict[int, int] = {}
        way: dict[int, tuple[int, _Choice]] = {}
        for followed, (state, saved) in enumerate(layer.items()):
            if followed % BREATH_STATES == 0:
                between_steps()
            for choice in options[price]:
                one, other = choice.one, choice.other
                needed = 2 if one == other else 1
                if state // weights[one] % radixes[one] + needed >= radixes[one]:
                    continue
                if other not in (-1, one) and state // weights[other] % radixes[other] + 1 >= radixes[other]:
                    continue
                reached = state + choice.adds
                if saved + choice.saves > following.get(reached, 0):
                    following[reached] = saved + choice.saves
                    way[reached] = state, choice
                    if following[reached] > best_saved:
                        best_saved, best_state, best_line = following[reached], reached, number
        ways.append(way)
        layer = following
    chosen: list[Use] = []
    for way in reversed(ways[:best_line]):
        best_state, choice = way[best_state]
        chosen.append((choice.one,) if choice.other < 0 else (choice.one, choice.other))
    return chosen[::-1]


def _choices(price: int, stacks: Sequence[Sequence[Coupon]], weights: Sequence[int]) -> list[_Choice]:
    """All that may be used on a line of this price and saves something; two only where one saves less."""
    alone = [saving(price, [stack[0]]) for stack in stacks]
    found = [_Choice(saves, weights[one], one, -1) for one, saves in enumerate(alone) if saves]
    for one, stack in enumerate(stacks):
        for other in range(one, len(stacks)):
            pair = [stack[0], *(stack[1:2] if other == one else stacks[other][:1])]
            saves = saving(price, pair) if len(pair) == MAX_PER_LINE else 0
            if saves > max(alone[one], alone[other]):
                found.append(_Choice(saves, weights[one] + weights[other], one, other))
    return found


def _count(steps: int, more: int) -> int:
    if steps + more > MOST_STEPS:
        raise TooLong
    return steps + more
