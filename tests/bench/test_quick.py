"""The benchmark itself, made very small: does each part measure, and are all orders right?

What it finds is not looked at here: a test machine is no place for that.
"""

import os
import re

import pytest

from bench import beside, nameko
from bench.figures import OURS
from bench.market import Batch, Market, WrongBooks, checked
from bench.measures import hot, overload, reads, rpc, saga
from bench.placing import place_batch
from bench.program import ProgramFailed
from bench.run import Run
from deploy.local.layout import Layout


def measured(bench: Run, figure: str) -> set[str]:
    """Whose figure there is, every value of it above zero."""
    found = {key.who: values for key, values in bench.ledger.values.items() if key.figure == figure}
    assert all(value > 0 for values in found.values() for value in values)
    return set(found)


async def test_all_ways_to_ask_are_measured(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> str:
        raise ProgramFailed("tests fetch nothing")

    # Its own environment would have to be fetched.
    monkeypatch.setattr(nameko, "python", away)
    await rpc.run(bench)
    everybody = {OURS, rpc.RAW, rpc.PATTERNS, rpc.FASTSTREAM}
    assert measured(bench, rpc.RATE) == measured(bench, rpc.ALONE) == everybody
    assert bench.ledger.notes == ["nameko: not measured (tests fetch nothing)"]


@pytest.mark.usefixtures("own_broker", "own_database")
async def test_the_saga_is_measured_and_checked_at_all_three_places(bench: Run, bench_shop: Layout) -> None:
    await saga.run(bench)
    assert measured(bench, saga.BEST) == measured(bench, saga.CALM) == {OURS, saga.LIMIT, saga.PEER}
    assert all(bench.ledger.reached(aim) is not None for aim in saga.AIMS)
    assert {"gateway", "order", "database", "broker", "client"} <= {
        found[1]
        for key in bench.ledger.values
        if key.who == OURS and (found := re.match(r"CPU per order: (\w+)", key.figure))
    }


async def test_reads_and_hot_items_are_measured(bench: Run, bench_shop: Layout) -> None:
    await reads.run(bench)
    await hot.run(bench)
    assert measured(bench, f"{reads.ORDER}, 64 clients") == {OURS, reads.BARE}
    assert all(bench.ledger.reached(aim) is not None for aim in (*reads.AIMS, *hot.AIMS))


async def test_more_than_can_be_done_is_measured_in_completed_orders(
    bench: Run, bench_shop: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BELOW", (1.0,)), ("ABOVE", (3.0,)), ("CONNECTIONS", 50), ("REST_S", 0.1)):
        monkeypatch.setattr(overload, name, value)
    allowed = os.sched_getaffinity(0)
    await overload.run(bench)
    assert os.sched_getaffinity(0) == allowed
    assert measured(bench, overload.DONE) == {"1 x closed", overload.BEST, overload.at(3.0)}
    missing = {aim.text for aim in overload.AIMS if bench.ledger.reached(aim) is None}
    assert missing <= {"p99 of refusals at 3 x (ms)"}  # a shop that is faster than these clients refuses none


async def test_the_books_are_checked(bench: Run) -> None:
    async with beside.limit(bench.ground) as (market, _):
        batch = market.batch(4)
        with pytest.raises(WrongBooks, match="0 of 4 orders are completed"), checked(market, batch):
            pass  # nothing is placed
        await place_batch(market, batch, clients=2)
        # The same coupons again: they are used up, so these orders fail, and that is said.
        with pytest.raises(WrongBooks, match="FAIL"):
            await place_batch(market, batch, clients=2)
        tampered = market.batch(2)
        with pytest.raises(WrongBooks, match="stock of item"):
            await place_and_steal(market, tampered)


async def place_and_steal(market: Market, batch: Batch) -> None:
    """Orders that are all right, while a piece gets lost."""
    with checked(market, batch):
        await place_batch(market, batch, clients=1)
        with market.ground.database() as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE limit_item.items SET stock = stock - 1 WHERE id = 1")
