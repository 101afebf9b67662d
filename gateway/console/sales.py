"""What was sold: figures by hour or day as a chart, and the items that sell best, each beside its table."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import get_args

from litestar import Response, get
from litestar.response import Stream

from gateway.console import pages, words
from gateway.console.charts import Value, columns
from gateway.console.filters import Query, takes
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import FINANCE
from query_svc.contracts import Bucket, GetRanking, GetSales, Measure, Period, Sales, SalesBucket

LOOK_AGAIN_S = 2.0
SHOWN = 20
ROWS = 60
"""Hours or days that are listed beside the chart; those without any sales are left out."""
SPANS: dict[str, tuple[str, timedelta, Bucket]] = {
    "day": ("24 hours", timedelta(hours=24), "hour"),
    "week": ("7 days", timedelta(days=7), "hour"),
    "month": ("30 days", timedelta(days=30), "day"),
    "year": ("365 days", timedelta(days=365), "day"),
}


@get("/sales", opt=FINANCE | takes("span", "from", "to", "bucket", "period", "by"))
async def show_sales(request: ConsoleRequest) -> Response[str] | Stream:
    """Sales of the last hours or days, or of those that the address names, and the ranking."""
    query = Query(request)
    span = query.one_of("span", tuple(SPANS)) or "month"
    since, until = query.moment("from"), query.moment("to")
    bucket = query.one_of("bucket", get_args(Bucket)) or SPANS[span][2]
    period = query.one_of("period", get_args(Period)) or "month"
    by = query.one_of("by", get_args(Measure)) or "revenue"

    async def load() -> pages.Facts:
        end = until or datetime.now(UTC)
        begin = since or end - SPANS[span][1]
        sales, ranking = await asyncio.gather(
            request.rpc.call(GetSales(since=begin, until=end, bucket=bucket)),
            request.rpc.call(GetRanking(period=period, by=by, limit=SHOWN)),
        )
        sold = [one for one in sales.items if one.orders or one.cancelled_orders]
        most = max([1, *(getattr(one, by) for one in ranking.items)])
        return {
            "sales": {"bucket": sales.bucket, "since": sales.since, "until": sales.until},
            "chart": columns([_value(sales, one) for one in sales.items]),
            "sold": sold[: -ROWS - 1 : -1],
            "left_out": max(0, len(sold) - ROWS),
            "orders": sum(one.orders for one in sold),
            "pieces": sum(one.quantity for one in sold),
            "revenue": sum(one.revenue for one in sold),
            "cancelled": sum(one.cancelled_revenue for one in sold),
            "ranking": ranking,
            "shares": [round(100 * getattr(one, by) / most, 2) for one in ranking.items],
            "complete": sales.complete and ranking.complete,
        }

    return await pages.live_page(
        request,
        "sales.html",
        load,
        look_again_s=LOOK_AGAIN_S,
        span=None if since or until else span,
        spans=[
            (name, text, query.address(span=name, bucket=None, **{"from": None, "to": None}))
            for name, (text, _, _) in SPANS.items()
        ],
        periods=[(one, query.address(period=one)) for one in get_args(Period)],
        measures=[(one, query.address(by=one)) for one in get_args(Measure)],
        by=by,
        chosen={name: request.query_params.get(name, "") for name in ("from", "to", "bucket")},
    )


def _value(sales: Sales, bucket: SalesBucket) -> Value:
    start = bucket.start.astimezone(UTC)
    when = f"{start:%b %d %H:%M}" if sales.bucket == "hour" else f"{start:%b %d}"
    short = f"{start:%H:%M}" if sales.until - sales.since <= timedelta(days=2) else f"{start:%b %d}"
    back = f", {words.won(bucket.cancelled_revenue)} cancelled" if bucket.cancelled_orders else ""
    says = f"{when}: {words.won(bucket.revenue)}, {bucket.orders:,} orders{back}"
    return Value(short, bucket.revenue, bucket.cancelled_revenue, says)


routes = [show_sales]
