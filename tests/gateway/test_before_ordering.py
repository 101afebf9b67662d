"""Carts, quotes and the use of coupons over HTTP: what is asked of the services, and what comes of it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from coupon_svc import contracts as coupon
from item_svc import contracts as item
from shared.errors import FieldError, NotFound, RuleBroken
from tests.gateway.fakes import FakeRpc

Client = httpx.AsyncClient
Headers = dict[str, str]
LINE = item.CartLine(
    item_id=1, name="Shirt", size="M", quantity=2, price=100, available_quantity=7, available=True
)
CART = item.Cart(items=[LINE])


def _catalogue(**prices: int) -> Any:
    """Items by letter: a is item 1, b is item 2, and so on."""
    items = [
        item.Item(id=ord(letter) - 96, name=letter, size="-", price=price, available_quantity=1, version=1)
        for letter, price in prices.items()
    ]
    return lambda call: item.ItemPage(items=[one for one in items if one.id in call.ids])


def _reckon(price_known: int | None, off: int = 10) -> Any:
    """Coupon as it would answer, knowing one price for all items or none, taking so much off with coupons."""

    def answer(call: coupon.GetQuote) -> coupon.Quoted:
        lines = []
        for line in call.lines:
            price = line.unit_price if line.unit_price is not None else price_known
            if price is None:
                return coupon.Quoted(unknown=[line.item_id])
            ids = [9] if call.best_coupons else line.user_coupon_ids
            lines.append(
                coupon.QuotedLine(
                    item_id=line.item_id,
                    quantity=line.quantity,
                    unit_price=price,
                    discounted_price=price - off if ids else price,
                    user_coupon_ids=ids,
                )
            )
        return coupon.Quoted(lines=lines)

    return answer


class TestCart:
    async def test_it_is_shown_filled_and_emptied(self, client: Client, rpc: FakeRpc, buyer: Headers) -> None:
        rpc.answers[item.GetCart] = rpc.answers[item.SetCartLine] = lambda _: CART
        rpc.answers[item.RemoveCartLine] = rpc.answers[item.ClearCart] = lambda _: None

        shown = await client.get("/cart", headers=buyer)
        assert shown.json()["items"][0]["available_quantity"] == 7
        put = await client.put("/cart/items/1", json={"quantity": 2}, headers=buyer)
        assert (put.status_code, put.json()) == (200, shown.json())
        assert rpc.calls[-1] == item.SetCartLine(user_id=2, item_id=1, quantity=2)
        for path, call in (
            ("/cart/items/1", item.RemoveCartLine(user_id=2, item_id=1)),
            ("/cart", item.ClearCart(user_id=2)),
        ):
            gone = await client.delete(path, headers=buyer)
            assert (gone.status_code, gone.content, rpc.calls[-1]) == (204, b"", call)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"quantity": 0}, 422),
            ({"quantity": 10**6 + 1}, 422),
            ({"quantity": "1"}, 400),
            ({}, 400),
            ([], 400),
        ],
    )
    async def test_a_bad_quantity_is_refused(
        self, client: Client, rpc: FakeRpc, buyer: Headers, body: Any, status: int
    ) -> None:
        response = await client.put("/cart/items/1", json=body, headers=buyer)
        assert response.status_code == status
        assert not any(isinstance(call, item.SetCartLine) for call in rpc.calls)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/cart"), ("DELETE", "/cart"), ("PUT", "/cart/items/1"), ("DELETE", "/cart/items/1")],
    )
    async def test_it_is_for_who_is_signed_in(self, client: Client, method: str, path: str) -> None:
        assert (await client.request(method, path, json={"quantity": 1})).status_code == 401


class TestQuotes:
    async def test_without_coupons_only_the_catalogue_is_asked(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        rpc.answers[item.GetItems] = _catalogue(a=100, b=7)
        lines = [{"item_id": 1, "quantity": 2}, {"item_id": 2, "quantity": 1}, {"item_id": 1, "quantity": 1}]
        response = await client.post("/quotes", json={"lines": lines}, headers=buyer)

        assert response.status_code == 200
        assert response.json()["total"] == 307
        assert response.json()["lines"][0] == {
            "item_id": 1,
            "quantity": 2,
            "unit_price": 100,
            "discounted_price": 100,
            "user_coupon_ids": [],
        }

    @pytest.mark.parametrize(("known", "asked"), [(100, 1), (99, 2), (None, 2)])
    async def test_coupons_are_reckoned_with_the_catalogues_price_whatever_coupon_knows(
        self, client: Client, rpc: FakeRpc, buyer: Headers, known: int | None, asked: int
    ) -> None:
        rpc.answers[item.GetItems] = _catalogue(a=100)
        rpc.answers[coupon.GetQuote] = _reckon(known)
        body = {"lines": [{"item_id": 1, "quantity": 1, "user_coupon_ids": [5]}]}
        response = await client.post("/quotes", json=body, headers=buyer)

        assert (response.status_code, response.json()["total"]) == (200, 90)
        assert sum(isinstance(call, coupon.GetQuote) for call in rpc.calls) == asked

    async def test_the_best_coupons_are_left_to_coupon(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        rpc.answers[item.GetItems] = _catalogue(a=100)
        rpc.answers[coupon.GetQuote] = _reckon(100)
        body = {"lines": [{"item_id": 1, "quantity": 1}], "best_coupons": True}
        response = await client.post("/quotes", json=body, headers=buyer)

        assert response.json()["lines"][0]["user_coupon_ids"] == [9]
        call = next(call for call in rpc.calls if isinstance(call, coupon.GetQuote))
        assert (call.buyer_id, call.best_coupons) == (2, True)

    async def test_a_refusal_made_of_a_price_that_is_over_is_reconsidered(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        def below_floor(call: coupon.GetQuote) -> coupon.Quoted:
            if call.lines[0].unit_price is None:
                raise RuleBroken("Too cheap.")
            return _reckon(None)(call)

        rpc.answers[item.GetItems] = _catalogue(a=100)
        rpc.answers[coupon.GetQuote] = below_floor
        body = {"lines": [{"item_id": 1, "quantity": 1, "user_coupon_ids": [5]}]}
        assert (await client.post("/quotes", json=body, headers=buyer)).json()["total"] == 90

    @pytest.mark.parametrize(("kind", "status"), [(NotFound, 404), (RuleBroken, 422)])
    async def test_a_coupon_that_cannot_be_used_is_refused_with_its_line(
        self, client: Client, rpc: FakeRpc, buyer: Headers, kind: Any, status: int
    ) -> None:
        def refuse(_: coupon.GetQuote) -> coupon.Quoted:
            raise kind("No.", errors=[FieldError("lines[0].user_coupon_ids", "no")])

        rpc.answers[item.GetItems] = _catalogue(a=100)
        rpc.answers[coupon.GetQuote] = refuse
        body = {"lines": [{"item_id": 1, "quantity": 1, "user_coupon_ids": [5]}]}
        response = await client.post("/quotes", json=body, headers=buyer)
        assert response.status_code == status
        assert response.json()["errors"][0]["field"] == "lines[0].user_coupon_ids"

    @pytest.mark.parametrize("coupons", [[], [5]])
    async def test_an_item_that_is_not_on_sale_is_named(
        self, client: Client, rpc: FakeRpc, buyer: Headers, coupons: list[int]
    ) -> None:
        rpc.answers[item.GetItems] = _catalogue(a=100)
        rpc.answers[coupon.GetQuote] = _reckon(100)
        lines = [{"item_id": number, "quantity": 1, "user_coupon_ids": coupons} for number in (1, 26)]
        response = await client.post("/quotes", json={"lines": lines}, headers=buyer)

        assert response.status_code == 404
        assert [error["field"] for error in response.json()["errors"]] == ["lines[1].item_id"]

    async def test_a_total_beyond_all_orders_is_refused(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        rpc.answers[item.GetItems] = _catalogue(a=10**12)
        body = {"lines": [{"item_id": 1, "quantity": 10**6}] * 2000}
        assert (await client.post("/quotes", json=body, headers=buyer)).status_code == 422

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"lines": []}, 422),
            ({"lines": [{"item_id": 1, "quantity": 1}] * 2001}, 422),
            ({"lines": [{"item_id": 1, "quantity": -1}]}, 422),
            ({"lines": [{"item_id": 1, "quantity": 1, "user_coupon_ids": ["5"]}]}, 400),
            ({"lines": [{"item_id": 1, "quantity": 1}], "best_coupons": 1}, 400),
        ],
    )
    async def test_a_bad_question_is_refused(
        self, client: Client, buyer: Headers, body: Any, status: int
    ) -> None:
        response = await client.post("/quotes", json=body, headers=buyer)
        assert (response.status_code, bool(response.json()["errors"])) == (status, True)

    async def test_without_the_coupon_service_plain_lines_are_quoted_and_others_not(
        self, client: Client, rpc: FakeRpc, buyer: Headers
    ) -> None:
        rpc.answers[item.GetItems] = _catalogue(a=100)
        lines = [{"item_id": 1, "quantity": 1}]
        assert (await client.post("/quotes", json={"lines": lines}, headers=buyer)).status_code == 200
        body = {"lines": lines, "best_coupons": True}
        assert (await client.post("/quotes", json=body, headers=buyer)).status_code == 503


async def test_an_admin_sees_what_coupons_were_used_for(
    client: Client, rpc: FakeRpc, admin: Headers, buyer: Headers
) -> None:
    rpc.answers[coupon.ListUses] = lambda _: coupon.CouponUsePage(
        items=[
            coupon.CouponUse(
                id=8,
                user_coupon_id=5,
                user_id=2,
                order_id=UUID(int=1),
                used_at=datetime(2026, 1, 1, tzinfo=UTC),
                released_at=None,
            )
        ]
    )
    response = await client.get("/coupons/3/uses?limit=2&after=9", headers=admin)
    assert response.json()["items"][0]["order_id"] == str(UUID(int=1))
    assert rpc.calls[-1] == coupon.ListUses(policy_id=3, limit=2, after=9)
    assert (await client.get("/coupons/3/uses", headers=buyer)).status_code == 403
