"""Rankings and sales of retail files, compared to the unit with figures that polars makes from the same CSV.

A small file of the same shape is made up; `RETAIL_CSV=FILE[:FILE...]` takes real ones as well.
"""

import os
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ops.replay.retail import COLUMNS, Article, Invoice, RetailFile, read
from query_svc import calls, contracts
from query_svc.domain import PERIODS, start_of
from shared.database.units import Database
from shared.events.cloudevents import Undecoded
from tests.query_svc.facts_told import Story, hear, line

GIVEN = [Path(name) for name in os.environ.get("RETAIL_CSV", "").split(os.pathsep) if name]
FIRST = datetime(2010, 12, 1, 8, tzinfo=UTC)


def made_up(folder: Path) -> Path:
    """A retail file of two months: purchases, cancellations, and rows that mean neither."""
    dice = random.Random(20101201)  # noqa: S311  no secret
    rows = [",".join(COLUMNS)]
    moment = FIRST
    for number in range(536_000, 536_400):
        moment += timedelta(minutes=dice.randrange(400))
        customer = dice.choice(["", "12345.0", "17850", "13047.0", "15100.0"])
        cancels = dice.random() < 0.15
        for _ in range(dice.choice([1, 2, 3, 20])):
            code = f"{dice.choice('AB')}{dice.randrange(15)}"
            price = dice.choice(["2.55", "3.39", "0.85", "0", "0.001", "1042.5"])
            quantity = dice.choice([1, 2, 6, 48]) * (-1 if cancels else 1)
            rows.append(
                f'{"C" if cancels else ""}{number},{code},"LAMP, ""OLD"" {code}",{quantity},'
                f"{moment:%Y-%m-%d %H:%M:%S},{price},{customer},France"
            )
    path = folder / "retail.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _called_off(file: RetailFile) -> set[int]:
    """By our rule a cancellation calls off its customer's last purchase before it; places in the file."""
    found: set[int] = set()
    for invoice in file.invoices:
        if invoice.cancels:
            earlier = [
                (one.at, number)
                for number, one in enumerate(file.invoices)
                if not one.cancels and one.customer == invoice.customer and one.at <= invoice.at
            ]
            found |= {max(earlier)[1]} if earlier else set()
    return found


def shop_events(file: RetailFile, ids: dict[Article, int]) -> list[Undecoded]:
    """What the shop would tell if it had sold all this at its time."""

    def story(invoice: Invoice) -> Story:
        lines = [line(ids[one.article], one.quantity, one.article.price) for one in invoice.lines]
        return Story(*lines, buyer_id=int(invoice.customer), start=invoice.at).bought()

    gone = _called_off(file)
    stories = [
        story(invoice).called_off() if number in gone else story(invoice)
        for number, invoice in enumerate(file.invoices)
        if not invoice.cancels
    ]
    return [event for one in stories for event in one.events]


class Book:
    """The same file read by polars alone."""

    def __init__(self, path: Path, ids: dict[Article, int]) -> None:
        items = pl.DataFrame(
            [(article.stock_code, article.price, number) for article, number in ids.items()],
            schema={"StockCode": pl.String, "pence": pl.Int64, "item": pl.Int64},
            orient="row",
        )
        rows = (
            pl.read_csv(path, infer_schema=False, encoding="utf8-lossy")
            .with_columns(
                quantity=pl.col("Quantity").cast(pl.Int64),
                hundredths=pl.col("UnitPrice").cast(pl.Float64) * 100,
                customer=pl.col("CustomerID").str.strip_suffix(".0"),
                at=pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S"),
                cancels=pl.col("InvoiceNo").str.to_uppercase().str.starts_with("C"),
            )
            .with_columns(pence=pl.col("hundredths").round().cast(pl.Int64))
            .filter(
                pl.col("customer").is_not_null() & (pl.col("customer") != ""),
                pl.col("pence") > 0,
                (pl.col("hundredths") - pl.col("pence")).abs() < 1e-6,
                (pl.col("quantity") > 0) != pl.col("cancels"),
                pl.col("quantity") != 0,
            )
        )
        invoices = rows.group_by("InvoiceNo", "customer", maintain_order=True).agg(
            pl.col("at").first(), pl.col("cancels").first()
        )
        bought = invoices.filter(~pl.col("cancels")).sort("at", maintain_order=True)
        back = invoices.filter("cancels").sort("at", maintain_order=True).select("at", "customer")
        gone = back.join_asof(bought, on="at", by="customer").select("InvoiceNo", "customer").drop_nulls()
        sold = (
            rows.filter(~pl.col("cancels"))
            .drop("at", "cancels")
            .join(bought, on=["InvoiceNo", "customer"])
            .join(items, on=["StockCode", "pence"])
            .with_columns(revenue=pl.col("quantity") * pl.col("pence"))
        )
        self.standing = sold.join(gone, on=["InvoiceNo", "customer"], how="anti")
        self.called_off = sold.join(gone, on=["InvoiceNo", "customer"], how="semi")

    def rankings(self, period: str, by: str) -> dict[date, list[tuple[int, int, int]]]:
        """The hundred best of each period in which anything was sold."""
        every = {"day": "1d", "week": "1w", "month": "1mo", "all": "1000y"}[period]
        figures = (
            self.standing.group_by(pl.col("at").dt.truncate(every).dt.date().alias("start"), "item")
            .agg(pl.col("quantity").sum(), pl.col("revenue").sum())
            .sort(["start", by, "item"], descending=[False, True, False])
        )
        return {
            start: list(part.select("item", "quantity", "revenue").iter_rows())[:100]
            for (start,), part in figures.group_by("start", maintain_order=True)
        }

    def sales(self, every: str) -> dict[datetime, tuple[int, ...]]:
        """Orders, pieces, revenue, cancelled orders and cancelled revenue by hour or day."""
        start = pl.col("at").dt.truncate(every).alias("start")
        orders = pl.struct("InvoiceNo", "customer").n_unique()
        stands = self.standing.group_by(start).agg(
            orders.alias("orders"), pl.col("quantity").sum(), pl.col("revenue").sum()
        )
        gone = self.called_off.group_by(start).agg(
            orders.alias("cancelled_orders"), pl.col("revenue").sum().alias("cancelled_revenue")
        )
        both = stands.join(gone, on="start", how="full", coalesce=True).fill_null(0)
        return {row[0].replace(tzinfo=UTC): tuple(row[1:]) for row in both.iter_rows()}


@pytest.fixture(scope="module", params=["made up", *GIVEN], ids=str)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retail file."""
    return made_up(tmp_path_factory.mktemp("retail")) if request.param == "made up" else request.param


@pytest.fixture
async def book(db: Database, path: Path) -> Book:
    """The file, sold in the shop as well as read by polars."""
    file = read(path)
    ids = {article: number for number, article in enumerate(sorted(file.descriptions), start=1)}
    news = shop_events(file, ids)
    random.Random(7).shuffle(news)  # noqa: S311  no secret
    await hear(db, [*news, *news[:100]], portion=128)
    return Book(path, ids)


async def test_figures_equal_those_from_the_file(db: Database, book: Book) -> None:
    compared = 0
    for period in PERIODS:
        for by in ("quantity", "revenue"):
            for start, best in book.rankings(period, by).items():
                call = contracts.GetRanking(period=period, by=by, limit=100, on=start)
                page = await db.read(lambda reader, call=call: calls.ranking(call, reader))
                assert [(one.item_id, one.quantity, one.revenue) for one in page.items] == best, call
                compared += 1
    assert compared > 40
    wanted: list[tuple[contracts.Bucket, str, timedelta]] = [
        ("hour", "1h", timedelta(days=30)),
        ("day", "1d", timedelta(days=300)),
    ]
    for bucket, every, step in wanted:
        expected = book.sales(every)
        since, end = min(expected).replace(hour=0), max(expected) + timedelta(hours=1)
        found: dict[datetime, Any] = {}
        while since < end:
            call = contracts.GetSales(since=since, until=since + step, bucket=bucket)
            page = await db.read(lambda reader, call=call: calls.sales(call, reader))
            found |= {
                one.start: (
                    one.orders,
                    one.quantity,
                    one.revenue,
                    one.cancelled_orders,
                    one.cancelled_revenue,
                )
                for one in page.items
                if one.orders or one.cancelled_orders
            }
            since += step
        assert found == expected


def test_weeks_begin_where_polars_begins_them() -> None:
    day = pl.Series([date(2026, 1, 14)]).dt.truncate("1w")[0]
    assert day == start_of("week", date(2026, 1, 14))
