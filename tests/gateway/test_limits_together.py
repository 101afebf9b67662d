"""A limit holds for all gateways together, within a tenth, however a caller spreads what he asks."""

from itertools import cycle

import pytest

from gateway.door.rate_limit import GONE_S, MOST_CALLERS, RateLimit
from shared.errors import TooMany


class Gateways:
    """Some gateways with a broker between them that takes `delay_s` for a message, and may be away."""

    def __init__(self, count: int, limit: int, period: float, delay_s: float = 0.005) -> None:
        self.limits = [RateLimit(limit, period) for _ in range(count)]
        self.now = 0.0
        self.away = False
        self._delay_s = delay_s
        self._under_way: list[tuple[float, str, dict[str, int]]] = []
        self._next_tell = 0.0
        for one in self.limits:
            one.tell_now = lambda one=one: self._tell(one)
        self.pass_time(3.0)

    def _tell(self, limit: RateLimit) -> None:
        counts = limit.untold(self.now)
        if not self.away:
            self._under_way.append((self.now + self._delay_s, limit.name, counts))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.001
            if self.now >= self._next_tell:
                self._next_tell = self.now + 1.0
                for one in self.limits:
                    self._tell(one)
            arrived = [told for told in self._under_way if told[0] <= self.now]
            self._under_way = [told for told in self._under_way if told[0] > self.now]
            for _, name, counts in arrived:
                for one in self.limits:
                    one.hear(name, counts, self.now)

    def ask(self, gateway: int, caller: str = "user 2") -> bool:
        try:
            self.limits[gateway].take(caller, self.now)
        except TooMany:
            return False
        return True


@pytest.mark.parametrize("limit", [100, 600, 5000])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("spread", ["evenly", "one after the other", "one alone"])
def test_all_together_let_in_what_one_would(limit: int, count: int, spread: str) -> None:
    shop = Gateways(count, limit, 60.0)
    order = {
        "evenly": cycle(range(count)),
        "one after the other": iter(number for number in range(count) for _ in range(limit)),
        "one alone": cycle([0]),
    }[spread]
    let_in = 0
    for asked in range(limit * count):
        let_in += shop.ask(next(order))
        if asked % 2:  # two thousand requests a second
            shop.pass_time(0.001)
    refilled = limit * (shop.now - 3.0) / 60.0
    assert limit * 0.9 <= let_in <= (limit + refilled) * 1.1 + 1


def test_one_who_waits_is_let_in_again() -> None:
    shop = Gateways(3, 60, 60.0)
    for asked in range(200):
        shop.ask(asked % 3)
        shop.pass_time(0.003)
    shop.pass_time(20.0)
    let_in = 0
    for asked in range(60):
        let_in += shop.ask(asked % 3)
        shop.pass_time(0.003)
    assert 16 <= let_in <= 24


def test_a_gateway_that_is_gone_holds_nobodys_quota() -> None:
    shop = Gateways(2, 60, 60.0)
    for _ in range(60):
        shop.ask(1)
    shop.pass_time(0.1)
    assert not shop.ask(0)
    shop.limits.pop()  # killed, with all it had told
    shop.pass_time(max(60.0, GONE_S + 1))
    assert sum(shop.ask(0) for _ in range(100)) == 60


def test_without_a_broker_each_counts_for_itself() -> None:
    shop = Gateways(2, 60, 60.0)
    shop.away = True
    assert sum(shop.ask(0) for _ in range(100)) == 60
    assert sum(shop.ask(1) for _ in range(100)) == 60


def test_what_is_told_is_bounded_and_cannot_hold_anybody_for_ever() -> None:
    limit = RateLimit(60, 60.0)
    limit.hear("another", {"user 2": 10**9, "user 3": -5}, 0.0)
    limit.take("user 3", 0.0)
    with pytest.raises(TooMany) as refused:
        limit.take("user 2", 0.0)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after <= 67
    for number in range(3 * MOST_CALLERS):
        limit.hear("another", {f"user {number}": 1}, 0.0)
        limit.hear(f"gateway {number}", {}, 0.0)
    assert len(limit._free_at) <= MOST_CALLERS
    assert len(limit._others) <= 1000
    limit.hear(limit.name, {"user 9": 60}, 0.0)  # its own word comes back
    limit.take("user 9", 0.0)
