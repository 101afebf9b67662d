"""How the demo judges a scenario, and what its table and document say."""

from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from deploy.local import fleet
from deploy.local.errors import FleetError
from deploy.local.layout import layout
from ops.demo.__main__ import SCENARIOS, playable
from ops.demo.everyday import EVERYDAY, refused
from ops.demo.scenario import Outcome, Record, Scenario, play
from ops.demo.stage import Stage, shirts
from ops.demo.table import table
from ops.shop import Order, Shop
from tests.ops.fake_shop import FakeShop


def order(status: str, reason: str | None = None, number: str = "o1") -> Order:
    """An order as the shop would show it."""
    return Order(
        id=number,
        status=status,
        reason=reason,
        settled=True,
        paid=False,
        total=1,
        participants=[],
        version=1,
        created_at=datetime(2026, 1, 5, tzinfo=UTC),
    )


async def outcome(
    run, ends: tuple[str, ...] = ("CANCEL",), reasons: tuple[str, ...] = ("timeout",)
) -> Outcome:
    """Play one scenario in a shop of dictionaries."""
    fake = FakeShop()
    async with Shop("http://shop.test", transport=fake.transport()) as shop:
        admin = await shop.sign_in("admin@sagamart.local", "sagamart-admin")
        return await play(Scenario("something", ends, reasons, run), Stage(shop, admin))


async def test_a_scenario_is_met_when_all_came_out_as_it_must() -> None:
    async def run(_: Stage, record: Record) -> None:
        with record.step("settle"):
            record.ended(order("CANCEL", "timeout"))
        record.check(True, "never told")

    played = await outcome(run)

    assert played.met
    assert played.document() == {
        "tried": "something",
        "orders": ["o1"],
        "expected": ["CANCEL"],
        "expected_reasons": ["timeout"],
        "actual": ["CANCEL"],
        "reasons": ["timeout"],
        "steps": [{"step": "settle", "ms": pytest.approx(0.0, abs=50.0)}],
        "misses": [],
        "met": True,
    }


@pytest.mark.parametrize(
    "end", [order("FAIL", "timeout"), order("CANCEL", "out_of_stock"), order("CANCEL"), "422"]
)
async def test_another_end_or_reason_is_a_miss(end: Order | str) -> None:
    async def run(_: Stage, record: Record) -> None:
        record.ended(end)

    assert not (await outcome(run)).met


async def test_a_failed_check_is_a_miss_in_words() -> None:
    async def run(_: Stage, record: Record) -> None:
        record.ended(order("CANCEL", "timeout"))
        record.check(False, "the stock was not given back")

    played = await outcome(run)

    assert not played.met
    assert played.record.misses == ["the stock was not given back"]


async def test_what_a_scenario_raises_is_a_miss_and_its_order_stays_known() -> None:
    async def run(stage: Stage, record: Record) -> None:
        record.accepted(order("PENDING"))
        await stage.shop.item(7)

    played = await outcome(run)

    assert not played.met
    assert played.record.orders == ["o1"]
    assert played.record.misses == ["Refused: 401 Sign in first: because"]


async def test_an_order_that_should_be_refused_but_is_not_is_shown() -> None:
    async def run(stage: Stage, record: Record) -> None:
        buyer, item = await stage.buyer(), await stage.shirt()
        await refused(record, buyer, shirts(item))

    played = await outcome(run, ("422",), ())

    assert not played.met
    assert played.record.ends == ["COMPLETED"]


async def test_the_table_has_a_row_for_each_scenario() -> None:
    record = Record(orders=["o1"], ends=["FAIL"], reasons=["timeout"], steps=[("settle", 1234.6)])
    record.check(False, "the stock changed")
    missed = Outcome(Scenario("a wrong price", ("CANCEL",), ("price_changed",), EVERYDAY[0].run), record)
    console = Console(file=StringIO(), width=160)

    console.print(table([missed]))

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "NO",
        "a wrong price",
        "the stock changed",
        "o1",
        "(price_changed)",
        "FAIL",
        "timeout",
        "settle 1,235",
    ):
        assert words in printed


def test_every_scenario_has_a_name_of_its_own() -> None:
    names = [scenario.tried for scenario in SCENARIOS]

    assert len(names) == len(set(names))


def test_what_would_stop_a_server_that_runs_elsewhere_is_left_out() -> None:
    played, left_out = playable(layout({}))
    assert (played, left_out) == (list(SCENARIOS), [])
    elsewhere = {
        "SHOP_AMQP_URL": "amqp://a:b@broker.test/",
        "SHOP_DATABASE_ADMIN_URL": "mysql://a:b@sql.test/",
    }
    played, left_out = playable(layout(elsewhere))
    assert [scenario.stops for scenario in left_out] == ["broker"]
    assert len(played) == len(SCENARIOS) - 1


def test_of_a_shop_that_runs_elsewhere_nothing_is_stopped() -> None:
    played, left_out = playable(layout({"SHOP_GATEWAY_URL": "http://shop.test"}))
    assert {scenario.stops for scenario in left_out} == {"broker", "coupon", "item", "order", "query"}
    assert len(played) == len(SCENARIOS) - len(left_out)
    assert all(scenario.stops is None for scenario in played)


@pytest.mark.parametrize(
    "touch",
    [fleet.up, fleet.infra, lambda at: fleet.stop("order", at), lambda at: fleet.restart("order", at)],
)
def test_a_shop_that_runs_elsewhere_is_not_taken_for_the_one_of_this_machine(
    touch: Callable[[dict[str, str]], object],
) -> None:
    with pytest.raises(FleetError, match=r"http://shop\.test is not run from here"):
        touch({"SHOP_GATEWAY_URL": "http://shop.test"})
