"""A dozen seconds of everything that can break, while people buy: nothing is lost, stuck or doubled."""

import msgspec
import pytest

from deploy.local.layout import Layout
from ops.chaos.ground import running_ground
from ops.chaos.plan import Fault, What, most_at_once
from ops.chaos.run import run
from tests.support.ports import reserve_base

SECONDS = 12
FAULTS = [
    Fault(1, What.KILL, "order-1", 0.5, 4.0),
    Fault(2, What.HOLE, "all", 1.0, 2.5, "broker"),
    Fault(3, What.READ_ONLY, "database", 4.5, 2.0),
    Fault(4, What.STOP, "item-1", 5.0, 2.5),
    Fault(5, What.MEMORY, "broker", 7.0, 2.0),
    Fault(6, What.CUT, "payment", 7.5, 2.0, "database"),
    Fault(7, What.STOP, "database", 9.5, 2.0),
    Fault(8, What.KILL, "gateway-1", 10.0, 4.0),
]


@pytest.mark.usefixtures("own_broker", "own_database")
async def test_nothing_is_lost_stuck_or_doubled_whatever_breaks(shop: Layout) -> None:
    assert most_at_once(FAULTS) == 2
    told: list[str] = []
    ground = running_ground(told.append, reserve_base())
    try:
        await ground.begin(replicas=1)
        assert ground.at.base == shop.base
        result = await run(ground, FAULTS, orders=150, seconds=SECONDS, seed=1, buyers=8)
    finally:
        await ground.leave()
    document = {**result.document(), "books": [found.text for found in result.books.discrepancies]}
    told.append(msgspec.json.format(msgspec.json.encode(document)).decode())
    assert result.good, "\n".join(told)
    assert [one.trouble for one in result.faults] == [None] * len(FAULTS)
    assert result.verdict.told["accepted"] > 100, "\n".join(told)
    assert result.verdict.ends["COMPLETED"] > 50, "\n".join(told)
