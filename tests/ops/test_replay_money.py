"""Who owes what in a replay, and that everybody is given all of it, once."""

from typing import Any, cast

from ops.replay.money import charge_all, owed
from ops.replay.retail import parse
from ops.shop import Away, Session
from tests.ops.test_replay import ROWS


class Purse:
    """A customer's account that takes each key once, and whose first answer gets lost."""

    def __init__(self) -> None:
        self.charges: dict[str, int] = {}
        self.asked = 0

    async def charge_points(self, amount: int, key: str) -> None:
        self.asked += 1
        self.charges.setdefault(key, amount)
        if self.asked == 1:
            raise Away("the answer is lost")


def test_customers_owe_what_they_order_also_what_they_cancel_later() -> None:
    assert owed(parse(ROWS).invoices) == {"7": 7 * 255, "8": 2 * 255}


async def test_everybody_gets_what_he_owes_in_parts_that_the_shop_takes() -> None:
    purses = {name: Purse() for name in ("7", "8", "9")}
    steps: list[None] = []
    sums = {"7": 3 * 10**8 + 5, "8": 1, "9": 0}
    await charge_all(cast(dict[str, Session], cast(Any, purses)), sums, "run", lambda: steps.append(None))
    assert {name: sum(purse.charges.values()) for name, purse in purses.items()} == sums
    assert max(purses["7"].charges.values()) == 10**8
    assert len(steps) == 2
