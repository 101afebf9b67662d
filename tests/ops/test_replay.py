"""A replay against a shop of dictionaries: who buys what, what is counted, and a second run."""

import json
from pathlib import Path

import pytest

from ops.replay import __main__ as replay_command
from ops.replay import summary
from ops.replay.catalogue import article_of, item_name, item_size, stock_up
from ops.replay.customers import sign_in_all
from ops.replay.retail import Article, RetailFile, Skip, parse
from ops.replay.run import Replay
from ops.replay.summary import Tally, percentile
from ops.shop import Item, Shop
from tests.ops.fake_shop import FakeShop
from tests.ops.test_retail import HEADER, row

ROWS = [
    HEADER,
    row(invoice="1", code="MUG", quantity="6", customer="7"),
    row(invoice="1", code="mug", quantity="1", customer="7"),
    row(invoice="2", code="MUG", quantity="2", customer="8"),
    row(invoice="C3", code="MUG", quantity="-6", customer="7"),
    row(invoice="C4", code="MUG", quantity="-1", customer="9"),
    row(invoice="5", code="PLATE", quantity="1", customer=""),
]


async def replayed(fake: FakeShop, file: RetailFile) -> Tally:
    """One run of a file from sign-up to the last invoice."""
    async with Shop("http://shop.test", transport=fake.transport()) as shop:
        admin = await shop.sign_in("admin@sagamart.local", "sagamart-admin")
        sessions = await sign_in_all(
            shop, dict.fromkeys(step.customer for step in file.invoices), lambda: None
        )
        items = await stock_up(shop, admin, file.descriptions, file.demand, file.demand, lambda: None)
        return await Replay(f"run{len(fake.orders)}", sessions, items, None).run(file.invoices, 8)


async def test_a_file_becomes_users_items_orders_and_cancellations() -> None:
    fake = FakeShop()

    tally = await replayed(fake, parse(ROWS))

    assert set(fake.users) >= {
        "customer-7@replay.local",
        "customer-8@replay.local",
        "customer-9@replay.local",
    }
    assert {
        (item["name"], item["size"], item["price"], item["stock_quantity"]) for item in fake.items.values()
    } == {
        ("MUG: HOLDER", "2.55", 255, 8),
        ("mug: HOLDER", "2.55", 255, 1),
    }
    assert tally.orders == {"COMPLETED": 1, "CANCEL (cancelled_by_buyer)": 1}
    assert tally.cancellations == {"matched": 1, "unmatched": 1}
    assert len(tally.settled_s) == 2
    assert sorted(order["total"] for order in fake.orders.values()) == [2 * 255, 7 * 255]


async def test_a_second_run_reuses_users_and_items_and_orders_anew() -> None:
    fake, file = FakeShop(), parse(ROWS)
    await replayed(fake, file)
    users, items = dict(fake.users), set(fake.items)

    tally = await replayed(fake, file)

    assert fake.users == users
    assert set(fake.items) == items
    assert len(fake.orders) == 4
    assert tally.orders == {"COMPLETED": 1, "CANCEL (cancelled_by_buyer)": 1}


async def test_an_article_is_found_again_whatever_its_description() -> None:
    fake = FakeShop()
    await replayed(fake, parse([HEADER, row(description="LANTERN")]))
    await replayed(fake, parse([HEADER, row(description="METAL LANTERN")]))

    assert len(fake.items) == 1


async def test_an_order_of_too_many_lines_is_told_as_refused() -> None:
    tally = await replayed(FakeShop(), parse([HEADER, *[row(quantity="1")] * 2001]))

    assert tally.orders == {"refused: 422 Rule broken": 1}
    assert tally.troubles == ["invoice 536365 (line 2): 422 Rule broken: because"]
    assert tally.unfinished == 0


async def test_a_shop_that_is_away_for_a_moment_costs_no_order() -> None:
    fake = FakeShop()
    fake.busy += ["POST /users", "POST /items", "POST /orders", "POST /orders/ID/cancel"]

    tally = await replayed(fake, parse(ROWS))

    assert tally.orders == {"COMPLETED": 1, "CANCEL (cancelled_by_buyer)": 1}
    assert len(fake.orders) == 2


def test_an_item_tells_its_article_by_code_and_price() -> None:
    article = Article("BANK CHARGES", 1500)
    item = Item(1, item_name(article, " Bank  Charges "), item_size(article), 1500, 1, 1)

    assert item.name == "BANK CHARGES: Bank Charges"
    assert article_of(item) == article
    assert article_of(Item(2, "Shirt", "100-M", 49_800, 1000, 1)) is None
    assert article_of(Item(3, "Offer: shirt", "-", 100, 1, 1)) is None
    assert len(item_name(article, "x" * 300)) == 100
    assert item_name(article, "") == "BANK CHARGES:"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([3.0], 0.95, 3.0), ([4.0, 1.0, 2.0, 3.0], 0.5, 2.0), (list(range(1, 101)), 0.95, 95)],
)
def test_percentiles(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


def test_line_numbers_are_told_as_ranges() -> None:
    assert summary.line_ranges([3, 7, 8, 9, 12, 13]) == ["3", "7-9", "12-13"]
    assert summary.line_ranges([]) == []


def test_the_summary_names_every_skipped_line() -> None:
    file = parse([*ROWS, row(price="0.001")])
    tally = Tally(settled_s=[0.010, 0.020], seconds=2.0)
    tally.orders["COMPLETED"] = 2

    document = summary.document(file, tally)

    assert document["rows_skipped"][Skip.NO_CUSTOMER] == {"count": 1, "lines": [7]}
    assert document["rows_skipped"][Skip.PRICE_FRACTION] == {"count": 1, "lines": [8]}
    assert document["orders_by_outcome"] == {"COMPLETED": 2}
    assert document["orders_per_second"] == 1.0
    assert document["final_state_ms"] == {"p50": 10.0, "p95": 20.0}
    json.dumps(document)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: FILE"),
        (["a.csv", "--orders", "0"], "--orders: must be a whole number of 1 or more, not '0'"),
        (["a.csv", "--orders", "many"], "--orders: must be a whole number"),
        (["a.csv", "--speed", "fast"], "--speed: must be `max` or a number above 0, not 'fast'"),
        (["a.csv", "--speed", "-1"], "--speed"),
        (["a.csv", "--speed", "nan"], "--speed: must be `max` or a number above 0"),
        (["a.csv", "--json", "no/such/folder/x.json"], "--json: there is no directory no/such/folder"),
    ],
)
def test_bad_arguments_are_told(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        replay_command.main(arguments)

    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_bad_file_ends_with_2_and_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("some,thing\n")

    assert replay_command.main([str(path)]) == 2
    assert "line 1: wrong header" in capsys.readouterr().err
