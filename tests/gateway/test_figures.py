"""Timelines, rankings and sales over HTTP: who may see what, what is remembered, and what is refused."""

import asyncio
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from order_svc import contracts as order
from query_svc import contracts as query
from shared.errors import NotFound, RuleBroken
from tests.gateway.fakes import FakeRpc

Client = httpx.AsyncClient
Headers = dict[str, str]
ORDER = UUID("019c0000-0000-7000-8000-000000000001")
NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


def timeline(**changes: Any) -> query.Timeline:
    """A timeline of an order of user 2 that is under way."""
    values: dict[str, Any] = {
        "order_id": ORDER,
        "buyer_id": 2,
        "status": "PENDING",
        "reason": None,
        "settled": False,
        "paid": False,
        "started_at": NOON,
        "ended_at": None,
        "duration_ms": None,
        "steps": [],
        "waiting_for": [query.Waiting(service="item", step="reserve stock", since=NOON)],
        "events": 1,
        "position": 1,
        "complete": True,
    }
    return query.Timeline(**values | changes)


def an_order(**changes: Any) -> order.OrderView:
    """That order as the order service knows it."""
    values: dict[str, Any] = {
        "id": ORDER,
        "buyer_id": 2,
        "status": "PENDING",
        "reason": None,
        "reason_details": None,
        "settled": False,
        "paid": False,
        "pay_with": None,
        "total": 1,
        "lines": [],
        "participants": [],
        "history": [],
        "version": 1,
        "created_at": NOON,
    }
    return order.OrderView(**values | changes)


def ranking(**changes: Any) -> query.Ranking:
    """A ranking with one item."""
    item = query.RankedItem(rank=1, item_id=7, name="Shirt", quantity=3, revenue=30)
    values: dict[str, Any] = {
        "period": "all",
        "by": "quantity",
        "since": None,
        "until": None,
        "items": [item],
        "complete": True,
    }
    return query.Ranking(**values | changes)


def refuse(problem: Exception) -> Any:
    """An answer that is a problem."""

    def answer(_: Any) -> Any:
        raise problem

    return answer


class TestTimeline:
    async def test_the_owner_sees_it(self, client: Client, rpc: FakeRpc, buyer: Headers) -> None:
        rpc.answers |= {order.GetOrder: lambda _: an_order(), query.GetTimeline: lambda _: timeline()}
        response = await client.get(f"/orders/{ORDER}/timeline", headers=buyer)

        assert response.status_code == 200
        assert response.json()["waiting_for"] == [
            {"service": "item", "step": "reserve stock", "since": "2026-01-14T12:00:00Z"}
        ]
        assert {one.buyer_id for one in rpc.calls if isinstance(one, query.GetTimeline | order.GetOrder)} == {
            2
        }
        again = await client.get(
            f"/orders/{ORDER}/timeline", headers=buyer | {"If-None-Match": response.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")

    async def test_an_admin_sees_anybodys(self, client: Client, rpc: FakeRpc, admin: Headers) -> None:
        rpc.answers |= {order.GetOrder: lambda _: an_order(), query.GetTimeline: lambda _: timeline()}
        assert (await client.get(f"/orders/{ORDER}/timeline", headers=admin)).is_success
        assert {one.buyer_id for one in rpc.calls if isinstance(one, query.GetTimeline)} == {None}

    async def test_nobody_else_does(self, client: Client, rpc: FakeRpc, buyer: Headers) -> None:
        rpc.answers |= {
            order.GetOrder: refuse(NotFound("not yours")),
            query.GetTimeline: lambda _: timeline(),
        }
        assert (await client.get(f"/orders/{ORDER}/timeline", headers=buyer)).status_code == 404
        assert (await client.get(f"/orders/{ORDER}/timeline")).status_code == 401
        assert (await client.get("/orders/1/timeline", headers=buyer)).status_code == 404

    async def test_one_whose_events_have_not_come_is_to_be_asked_for_again(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        rpc.answers |= {order.GetOrder: lambda _: an_order(), query.GetTimeline: refuse(NotFound("unheard"))}
        response = await client.get(f"/orders/{ORDER}/timeline", headers=buyer)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")

    @pytest.mark.parametrize(
        "further",
        [{"status": "COMPLETED", "settled": True}, {"status": "FAIL"}, {"paid": True}],
    )
    async def test_one_that_is_behind_the_order_says_so(
        self, client: Client, rpc: FakeRpc, buyer: Headers, further: dict[str, Any]
    ) -> None:
        rpc.answers |= {
            order.GetOrder: lambda _: an_order(**further),
            query.GetTimeline: lambda _: timeline(),
        }
        response = await client.get(f"/orders/{ORDER}/timeline", headers=buyer)
        assert (response.status_code, response.json()["complete"]) == (200, False)

    async def test_it_needs_the_read_side_but_not_the_order_service(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        rpc.answers[query.GetTimeline] = lambda _: timeline()
        assert (await client.get(f"/orders/{ORDER}/timeline", headers=buyer)).status_code == 200
        rpc.answers = {key: one for key, one in rpc.answers.items() if key is not query.GetTimeline}
        rpc.answers[order.GetOrder] = lambda _: an_order()
        response = await client.get(f"/orders/{ORDER}/timeline", headers=buyer)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0


class TestPopular:
    @pytest.fixture(autouse=True)
    def _forget(self, client: Client) -> None:
        """What an earlier test of the same app has asked for."""
        transport: Any = client._transport
        transport.app.state.pop("figures", None)

    async def test_everybody_may_ask_what_sells_best(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[query.GetRanking] = lambda _: ranking()
        response = await client.get("/items/popular?period=week&by=revenue&limit=3&on=2026-01-14")

        assert response.json()["items"] == [
            {"rank": 1, "item_id": 7, "name": "Shirt", "quantity": 3, "revenue": 30}
        ]
        assert rpc.calls[-1] == query.GetRanking(period="week", by="revenue", limit=3, on=date(2026, 1, 14))
        assert response.headers["cache-control"] == "public, max-age=5"

    async def test_a_crowd_asks_once(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[query.GetRanking] = lambda _: ranking()
        answers = await asyncio.gather(*(client.get("/items/popular") for _ in range(20)))
        tags = {one.headers["etag"] for one in answers}
        assert len(tags) == len([one for one in rpc.calls if isinstance(one, query.GetRanking)]) == 1
        known = await client.get("/items/popular", headers={"If-None-Match": f'"x", W/{tags.pop()}'})
        assert (known.status_code, known.content) == (304, b"")
        assert len([one for one in rpc.calls if isinstance(one, query.GetRanking)]) == 1

    async def test_other_wishes_are_other_questions(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[query.GetRanking] = lambda call: ranking(period=call.period)
        tags = {(await client.get(f"/items/popular?period={one}")).headers["etag"] for one in ("day", "all")}
        assert len(tags) == 2

    async def test_failures_and_unfinished_figures_are_not_remembered(
        self, client: Client, rpc: FakeRpc
    ) -> None:
        assert (await client.get("/items/popular")).status_code == 503
        rpc.answers[query.GetRanking] = lambda _: ranking(complete=False)
        assert (await client.get("/items/popular")).json()["complete"] is False
        rpc.answers[query.GetRanking] = lambda _: ranking()
        assert (await client.get("/items/popular")).json()["complete"] is True

    @pytest.mark.parametrize(
        ("wish", "field"),
        [
            ("period=year", "period"),
            ("by=name", "by"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=1e1", "limit"),
            ("on=yesterday", "on"),
            ("on=2026-02-30", "on"),
            ("on=0001-01-01", "on"),
            ("period=day&period=week", "period"),
        ],
    )
    async def test_bad_wishes_are_refused(self, client: Client, rpc: FakeRpc, wish: str, field: str) -> None:
        rpc.answers[query.GetRanking] = lambda _: ranking()
        response = await client.get(f"/items/popular?{wish}")
        assert response.status_code == 400
        assert [one["field"] for one in response.json()["errors"]] == [field]
        assert not any(isinstance(one, query.GetRanking) for one in rpc.calls)


class TestSales:
    @pytest.fixture(autouse=True)
    def _forget(self, client: Client) -> None:
        """What an earlier test of the same app has asked for."""
        transport: Any = client._transport
        transport.app.state.pop("figures", None)

    async def test_an_admin_asks_for_a_range(self, client: Client, rpc: FakeRpc, admin: Headers) -> None:
        rpc.answers[query.GetSales] = lambda call: query.Sales(
            bucket=call.bucket, since=call.since, until=call.until, items=[], complete=True
        )
        response = await client.get(
            "/stats/sales?from=2026-01-01&to=2026-01-02T12:00:00Z&bucket=hour", headers=admin
        )
        assert (response.status_code, response.headers["cache-control"]) == (200, "private, max-age=5")
        assert rpc.calls[-1] == query.GetSales(
            since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 2, 12, tzinfo=UTC), bucket="hour"
        )
        await client.get("/stats/sales", headers=admin)
        asked = rpc.calls[-1]
        assert isinstance(asked, query.GetSales)
        assert (asked.until - asked.since).days == 30

    async def test_customers_do_not(self, client: Client, buyer: Headers) -> None:
        assert (await client.get("/stats/sales", headers=buyer)).status_code == 403
        assert (await client.get("/stats/sales")).status_code == 401

    @pytest.mark.parametrize(
        ("wish", "field"), [("from=x", "from"), ("to=2026-13-01", "to"), ("bucket=week", "bucket")]
    )
    async def test_bad_wishes_are_refused(
        self, client: Client, admin: Headers, wish: str, field: str
    ) -> None:
        response = await client.get(f"/stats/sales?{wish}", headers=admin)
        assert response.status_code == 400
        assert [one["field"] for one in response.json()["errors"]] == [field]

    async def test_a_range_that_cannot_be_is_told_in_the_words_of_the_query(
        self, client: Client, rpc: FakeRpc, admin: Headers
    ) -> None:
        rpc.answers[query.GetSales] = refuse(RuleBroken("The range of time is empty.", errors=[]))
        response = await client.get("/stats/sales?from=2026-01-02&to=2026-01-01", headers=admin)
        assert response.status_code == 422
