"""What sold best, and sales by time, over HTTP: figures of the read side, remembered for some seconds."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, cast

from litestar import Response, get
from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import QueryParameter

from gateway.door.api import PageSize, parse_moment, problems
from gateway.door.cache import Memory
from gateway.door.etags import IfNoneMatch, names
from gateway.door.requests import ShopRequest
from gateway.door.roles import FINANCE
from query_svc.contracts import Bucket, GetRanking, GetSales, Measure, Period, Ranking, Sales
from shared.clock import utc_now
from shared.errors import FieldError, Malformed, RuleBroken
from shared.messages import Call

WantedPeriod = Annotated[
    Period, QueryParameter(name="period", description="The day, week or month that holds `on`, or all time.")
]
By = Annotated[Measure, QueryParameter(name="by", description="Pieces sold, or money taken.")]
On = Annotated[
    str | None, QueryParameter(name="on", description="A day (UTC), such as 2026-01-31; without it: today.")
]
Since = Annotated[
    str | None,
    QueryParameter(name="from", description="From here on (ISO 8601); without it: 30 days, or 48 hours."),
]
Until = Annotated[str | None, QueryParameter(name="to", description="Until before here; without it: now.")]
WantedBucket = Annotated[
    Bucket, QueryParameter(name="bucket", description="Figures by hour, or by day (UTC).")
]

NOT_CHANGED = {304: ResponseSpec(None, generate_examples=False, description="It has not changed.")}
ETAG = [ResponseHeader(name="ETag", value="", documentation_only=True, description="Stands for the content.")]
_BEFORE_NOW = {"day": timedelta(days=30), "hour": timedelta(hours=48)}


@get(
    "/items/popular",
    operation_id="list_popular_items",
    summary="Best sellers",
    responses=NOT_CHANGED | problems(400),
    response_headers=ETAG,
)
async def list_popular_items(
    request: ShopRequest,
    period: WantedPeriod = "all",
    by: By = "quantity",
    limit: PageSize = 10,
    on: On = None,
    if_none_match: IfNoneMatch = None,
) -> Response[Ranking]:
    """The best sellers of a calendar period (UTC; weeks begin on Monday).

    Counts orders that were paid and have not been cancelled since. `complete` is false while the figures are
    being rebuilt.
    """
    call = GetRanking(period=period, by=by, limit=limit, on=_day("on", on))
    return await _remembered(request, call, if_none_match, "public")


@get(
    "/stats/sales",
    operation_id="get_sales",
    summary="Sales by time",
    opt=FINANCE,
    responses=NOT_CHANGED | problems(400, 401, 403, 422),
    response_headers=ETAG,
)
async def get_sales(
    request: ShopRequest,
    since: Since = None,
    until: Until = None,
    bucket: WantedBucket = "day",
    if_none_match: IfNoneMatch = None,
) -> Response[Sales]:
    """Sales by hour or day, by the time at which orders were paid and completed; at most 1,000 buckets.

    An order that is cancelled later is subtracted from `orders`, `quantity` and `revenue` of its bucket, and
    counted there as cancelled. `complete` is false while the figures are being rebuilt.
    """
    to = parse_moment("to", until) or _hour_after(utc_now())
    call = GetSales(since=parse_moment("from", since) or to - _BEFORE_NOW[bucket], until=to, bucket=bucket)
    try:
        return await _remembered(request, call, if_none_match, "private")
    except RuleBroken as broken:  # of the range, whose end is called `to` here
        errors = [FieldError(field="to", message=error.message) for error in broken.errors]
        raise RuleBroken(broken.detail, errors=errors) from None


async def _remembered(
    request: ShopRequest, call: Call[Any], if_none_match: str | None, scope: str
) -> Response[Any]:
    memory = _memory(request)
    answer = await memory.ask(call)
    headers = {"ETag": answer.tag, "Cache-Control": f"{scope}, max-age={int(memory.seconds)}"}
    if names(if_none_match, answer.tag):
        return Response(cast(Any, None), status_code=304, headers=headers)
    return Response(answer.reply, headers=headers)


def _memory(request: ShopRequest) -> Memory:
    """One per process, which begins with the first question."""
    state = request.app.state
    memory: Memory | None = state.get("figures")
    if memory is None:
        memory = state["figures"] = Memory(request.rpc, request.settings.figures_s)
    return memory


def _hour_after(moment: datetime) -> datetime:
    """The next full hour: who asks within the same hour asks for the same."""
    return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
        if not 1970 <= day.year <= 9998:
            raise ValueError
    except ValueError:
        error = FieldError(field=name, message="Expected a day, such as 2026-01-31")
        raise Malformed("A query parameter cannot be read.", errors=[error]) from None
    return day


routes = [list_popular_items, get_sales]
