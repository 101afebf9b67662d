"""What each route asks of the services, and how their answers leave."""

from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import pytest

from coupon_svc import contracts as coupon
from item_svc import contracts as item
from payment_svc import contracts as payment
from shared.errors import Conflict, RuleBroken, TooMany
from shared.ids import new_id
from shared.messages import Call
from tests.gateway.fakes import FakeRpc, Signer
from tests.gateway.test_payments import NO_AMOUNTS, fields
from user_svc import contracts as user

Client = httpx.AsyncClient
SHIRT = item.Item(id=1, name="Shirt", size="M", price=49_800, available_quantity=7, version=3)
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


def last(rpc: FakeRpc) -> Any:
    """The last call that was made."""
    return rpc.calls[-1]


class TestItems:
    async def test_items_are_found_by_id(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[item.GetItems] = lambda _: item.ItemPage(items=[SHIRT])
        response = await client.get("/items?ids=1,2,9223372036854775807")

        assert response.json()["items"][0] == {
            "id": 1,
            "name": "Shirt",
            "size": "M",
            "price": 49_800,
            "available_quantity": 7,
            "version": 3,
        }
        assert last(rpc) == item.GetItems(ids=[1, 2, 2**63 - 1])

    async def test_items_are_found_by_name_page_by_page(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[item.ListItems] = lambda _: item.ItemPage(items=[], next=5)

        assert (await client.get("/items")).json() == {"items": [], "next": 5}
        assert last(rpc) == item.ListItems(limit=50)
        await client.get("/items", params={"q": "셔츠 1.5", "limit": "2", "after": "5"})
        assert last(rpc) == item.ListItems(q="셔츠 1.5", limit=2, after=5)
        await client.get("/items", params={"q": "1.5"})
        assert last(rpc).q == "1.5"

    async def test_an_item_comes_with_its_version_as_etag(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[item.GetItem] = lambda _: SHIRT
        response = await client.get("/items/1")
        assert (response.status_code, response.headers["etag"]) == (200, '"3"')

    async def test_an_admin_adds_items(self, client: Client, rpc: FakeRpc, admin: dict[str, str]) -> None:
        rpc.answers[item.CreateItem] = lambda _: item.ItemId(id=9)
        body = {"name": "Coat", "size": "L", "price": 245_000, "stock_quantity": 200}
        response = await client.post("/items", json=body, headers=admin)

        assert (response.status_code, response.json()) == (201, {"id": 9})
        call = last(rpc)
        assert (call.name, call.size, call.price, call.stock_quantity) == ("Coat", "L", 245_000, 200)

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"price": -1}, 422),
            ({"price": 10**12 + 1}, 422),
            ({"price": "1"}, 400),
            ({"stock_quantity": -1}, 422),
            ({"stock_quantity": True}, 400),
            ({"name": ""}, 422),
            ({"name": "x" * 101}, 422),
            ({"name": None}, 400),
            ({"name": "a\0b"}, 422),
            ({"size": 42}, 400),
        ],
    )
    async def test_a_bad_item_is_refused(
        self, client: Client, admin: dict[str, str], change: dict[str, Any], status: int
    ) -> None:
        body = {"name": "Coat", "price": 1} | change
        response = await client.post("/items", json=body, headers=admin)

        assert response.status_code == status
        assert [error["field"] for error in response.json()["errors"]] == list(change)

    async def test_a_change_needs_the_version_it_means(
        self, client: Client, rpc: FakeRpc, admin: dict[str, str]
    ) -> None:
        rpc.answers[item.ChangeItem] = lambda _: SHIRT
        rpc.answers[item.DeleteItem] = lambda _: None
        changed = await client.patch("/items/1", json={"price": 5}, headers=admin | {"If-Match": '"2"'})

        assert (changed.status_code, changed.headers["etag"]) == (200, '"3"')
        call = last(rpc)
        assert (call.id, call.expected_version, call.price, call.name) == (1, 2, 5, None)
        deleted = await client.delete("/items/1", headers=admin | {"If-Match": '"3"'})
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert last(rpc).expected_version == 3

    @pytest.mark.parametrize(
        ("if_match", "status"),
        [(None, 428), ('W/"2"', 412), ("2", 400), ("*,*", 400), ('"x"', 400), ("", 400), ('"1", "2"', 400)],
    )
    async def test_a_bad_if_match_changes_nothing(
        self, client: Client, rpc: FakeRpc, admin: dict[str, str], if_match: str | None, status: int
    ) -> None:
        headers = admin if if_match is None else admin | {"If-Match": if_match}

        assert (await client.delete("/items/1", headers=headers)).status_code == status
        assert (await client.patch("/items/1", json={"price": 5}, headers=headers)).status_code == status
        assert not any(isinstance(call, item.ChangeItem | item.DeleteItem) for call in rpc.calls)

    async def test_a_star_means_whichever_version_there_is(
        self, client: Client, rpc: FakeRpc, admin: dict[str, str]
    ) -> None:
        rpc.answers[item.GetItem] = lambda _: SHIRT
        rpc.answers[item.DeleteItem] = lambda _: None
        assert (await client.delete("/items/1", headers=admin | {"If-Match": "*"})).status_code == 204
        assert last(rpc).expected_version == SHIRT.version

    @pytest.mark.parametrize(("body", "status"), [({}, 422), ({"name": None}, 400), ({"price": -1}, 422)])
    async def test_a_bad_change_is_refused(
        self, client: Client, admin: dict[str, str], body: dict[str, Any], status: int
    ) -> None:
        response = await client.patch("/items/1", json=body, headers=admin | {"If-Match": '"2"'})
        assert response.status_code == status

    async def test_stock_is_adjusted_and_its_history_read(
        self, client: Client, rpc: FakeRpc, admin: dict[str, str]
    ) -> None:
        rpc.answers[item.AdjustStock] = lambda _: SHIRT
        rpc.answers[item.StockHistory] = lambda _: item.StockHistoryPage(items=[])
        body = {"delta": -3, "reason": "moths"}

        assert (await client.post("/items/1/stock", json=body, headers=admin)).status_code == 200
        assert (last(rpc).id, last(rpc).delta, last(rpc).reason) == (1, -3, "moths")
        history = await client.get("/items/1/stock-history?limit=5&after=8", headers=admin)
        assert history.json() == {"items": [], "next": None}
        assert last(rpc) == item.StockHistory(id=1, limit=5, after=8)


class TestCoupons:
    POLICY: ClassVar = {
        "name": "Spring",
        "kind": "fixed",
        "discount_amount": 3000,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2036-01-01T09:00:00+09:00",
    }

    async def test_policies_are_made_and_listed(
        self, client: Client, rpc: FakeRpc, admin: dict[str, str]
    ) -> None:
        rpc.answers[coupon.CreatePolicy] = lambda _: coupon.PolicyCreated(id=4)
        response = await client.post("/coupons", json=self.POLICY, headers=admin)

        assert (response.status_code, response.json()) == (201, {"id": 4})
        call = last(rpc)
        assert (call.kind, call.discount_amount, call.discount_percent) == ("fixed", 3000, None)
        assert (call.valid_from, call.valid_until) == (FROM, UNTIL)
        rpc.answers[coupon.ListPolicies] = lambda _: coupon.PolicyPage(items=[], next=None)
        assert (await client.get("/coupons?limit=2&after=1")).status_code == 200
        assert last(rpc) == coupon.ListPolicies(limit=2, after=1)

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"valid_from": "2026-01-01T00:00:00"}, 422),
            ({"valid_from": "yesterday"}, 400),
            ({"valid_from": 1767225600}, 400),
            ({"valid_from": "0001-01-01T00:00:00+23:59"}, 422),
            ({"valid_until": "9999-12-31T23:59:59-23:59"}, 422),
            ({"kind": "free"}, 422),
            ({"discount_percent": 96}, 422),
            ({"discount_amount": 0}, 422),
            ({"quantity": 0}, 422),
            ({"per_user_limit": 1.5}, 400),
        ],
    )
    async def test_a_bad_policy_is_refused(
        self, client: Client, admin: dict[str, str], change: dict[str, Any], status: int
    ) -> None:
        response = await client.post("/coupons", json=self.POLICY | change, headers=admin)

        assert response.status_code == status
        assert [error["field"] for error in response.json()["errors"]] == list(change)

    async def test_coupons_are_taken_granted_and_held(
        self, client: Client, rpc: FakeRpc, buyer: dict[str, str], admin: dict[str, str]
    ) -> None:
        held = coupon.HeldCoupon(
            id=8,
            coupon_id=3,
            name="Spring",
            kind="fixed",
            valid_until=UNTIL,
            used=False,
            discount_amount=3000,
        )
        rpc.answers[coupon.IssueCoupon] = lambda _: held
        rpc.answers[coupon.GrantCoupons] = lambda call: coupon.Granted(coupon_id=call.policy_id, granted=[])
        rpc.answers[coupon.ListHeld] = lambda _: coupon.HeldPage(items=[held])

        taken = await client.post("/coupons/3/issue", headers=buyer)
        assert (taken.status_code, taken.json()["id"]) == (201, 8)
        assert (last(rpc).policy_id, last(rpc).user_id) == (3, 2)
        granted = await client.post("/coupons/3/grants", json={"user_ids": [2, 3]}, headers=admin)
        assert granted.status_code == 201
        assert last(rpc).user_ids == [2, 3]
        mine = await client.get("/users/me/coupons", headers=buyer)
        assert mine.json()["items"] == [
            {
                "id": 8,
                "coupon_id": 3,
                "name": "Spring",
                "kind": "fixed",
                "discount_amount": 3000,
                "valid_until": "2036-01-01T00:00:00Z",
                "used": False,
            }
        ]
        assert last(rpc).user_id == 2

    async def test_a_price_with_coupons(self, client: Client, rpc: FakeRpc, buyer: dict[str, str]) -> None:
        applied = coupon.AppliedAmount(item_id=1, price=49_800, discounted_price=39_780)
        rpc.answers[coupon.GetAppliedAmount] = lambda _: applied
        path = "/coupons/applied-amount?item_id=1"

        response = await client.get(f"{path}&user_coupon_ids=1,2", headers=buyer)
        assert response.json() == {"item_id": 1, "price": 49_800, "discounted_price": 39_780}
        assert last(rpc) == coupon.GetAppliedAmount(item_id=1, user_coupon_ids=[1, 2], buyer_id=2)
        await client.get(path, headers=buyer)
        assert last(rpc).user_coupon_ids == []

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "item_id=",
            "item_id=x",
            "item_id=0",
            "item_id=1.0",
            "item_id=1&user_coupon_ids=",
            "item_id=1&user_coupon_ids=a",
            "item_id=1&user_coupon_ids=0",
            "item_id=1&item_id=2",
        ],
    )
    async def test_a_bad_price_question_is_refused(
        self, client: Client, buyer: dict[str, str], query: str
    ) -> None:
        response = await client.get(f"/coupons/applied-amount?{query}", headers=buyer)

        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"


class TestUsers:
    TOKENS = user.Tokens(access_token="a", expires_in=900, refresh_token="r")

    async def test_sign_up(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[user.Register] = lambda _: user.UserId(id=12)
        body = {"email": "a@b.c", "name": "A", "address": "Street 1", "password": "pass\0word"}
        response = await client.post("/users", json=body)

        assert (response.status_code, response.json()) == (201, {"id": 12})
        assert last(rpc).password == "pass\0word"

    async def test_an_address_taken_is_409(self, client: Client, rpc: FakeRpc) -> None:
        def taken(_: user.Register) -> user.UserId:
            raise Conflict("This address is taken.")

        rpc.answers[user.Register] = taken
        body = {"email": "a@b.c", "name": "A", "address": "Street 1", "password": "password"}
        assert (await client.post("/users", json=body)).status_code == 409

    async def test_sign_in_and_stay_so(self, client: Client, rpc: FakeRpc) -> None:
        rpc.answers[user.Login] = lambda _: self.TOKENS
        rpc.answers[user.Refresh] = lambda _: self.TOKENS
        rpc.answers[user.Logout] = lambda _: None
        expected = {"access_token": "a", "token_type": "Bearer", "expires_in": 900, "refresh_token": "r"}

        signed_in = await client.post("/users/login", json={"email": "anything", "password": ""})
        assert (signed_in.status_code, signed_in.json()) == (200, expected)
        assert last(rpc) == user.Login(email="anything", password="", client=last(rpc).client)
        assert last(rpc).client
        refreshed = await client.post("/users/refresh", json={"refresh_token": "r"})
        assert (refreshed.status_code, refreshed.json()) == (200, expected)
        out = await client.post("/users/logout", json={"refresh_token": "r"})
        assert (out.status_code, out.content) == (204, b"")

    async def test_too_many_failed_tries_are_told_when_to_come_again(
        self, client: Client, rpc: FakeRpc
    ) -> None:
        def slow_down(_: user.Login) -> user.Tokens:
            raise TooMany("Too many tries.", retry_after=42)

        rpc.answers[user.Login] = slow_down
        response = await client.post("/users/login", json={"email": "a", "password": "b"})
        assert (response.status_code, response.headers["retry-after"]) == (429, "42")

    async def test_me(self, client: Client, rpc: FakeRpc, buyer: dict[str, str]) -> None:
        me = user.Profile(id=2, email="a@b.c", name="A", address="Street 1", role="customer")
        rpc.answers[user.GetMe] = lambda _: me
        assert (await client.get("/users/me", headers=buyer)).json()["email"] == "a@b.c"
        assert last(rpc) == user.GetMe(user_id=2)

    async def test_public_keys(self, client: Client, signer: Signer) -> None:
        (key,) = (await client.get("/.well-known/jwks.json")).json()["keys"]

        assert (key["kty"], key["crv"], key["kid"]) == ("OKP", "Ed25519", signer.key_id)
        assert "d" not in key


class TestPoints:
    async def test_the_balance_and_nothing_else(
        self, client: Client, rpc: FakeRpc, buyer: dict[str, str]
    ) -> None:
        rpc.answers[payment.GetBalance] = lambda _: payment.Balance(balance=5)
        assert (await client.get("/points", headers=buyer)).json() == {"balance": 5}

    @pytest.mark.parametrize(("status", "code"), [("CAPTURED", 201), ("ASKING", 202)])
    async def test_points_are_bought_with_a_card(
        self, client: Client, rpc: FakeRpc, buyer: dict[str, str], status: Any, code: int
    ) -> None:
        rpc.answers[payment.BuyPoints] = lambda call: payment.PointsBought(
            payment_id=call.payment_id, amount=call.amount, status=status, balance=15
        )
        number = str(new_id())
        for more in ({}, {"payment_key": "k"}, {"payment_key": "k", "payment_id": number}):
            response = await client.post("/points/charge", json={"amount": 10} | more, headers=buyer)
            call = last(rpc)
            assert (response.status_code, response.json()["balance"]) == (code, 15)
            assert response.headers["location"] == f"/payments/{call.payment_id}"
            assert (call.user_id, call.amount, call.payment_key) == (2, 10, more.get("payment_key"))
            assert call.has_intent == ("payment_id" in more) == (str(call.payment_id) == number)

    async def test_a_declined_card_buys_nothing(
        self, client: Client, rpc: FakeRpc, buyer: dict[str, str]
    ) -> None:
        def decline(_: payment.BuyPoints) -> Any:
            raise RuleBroken("The card was declined.")

        rpc.answers[payment.BuyPoints] = decline
        response = await client.post("/points/charge", json={"amount": 10}, headers=buyer)
        assert (response.status_code, response.json()["detail"]) == (422, "The card was declined.")

    @pytest.mark.parametrize(("amount", "status"), NO_AMOUNTS)
    async def test_a_bad_amount_is_refused(
        self, client: Client, rpc: FakeRpc, buyer: dict[str, str], amount: Any, status: int
    ) -> None:
        response = await client.post("/points/charge", json={"amount": amount}, headers=buyer)

        assert (response.status_code, fields(response)) == (status, ["amount"])
        assert not any(isinstance(call, payment.BuyPoints) for call in rpc.calls)

    @pytest.mark.parametrize("delta", [500, -500])
    async def test_an_admin_gives_and_takes_points(
        self, client: Client, rpc: FakeRpc, buyer: dict[str, str], admin: dict[str, str], delta: int
    ) -> None:
        rpc.answers[payment.GrantPoints] = lambda _: payment.Balance(balance=7)
        wish = {"delta": delta, "reason": "a gift"}
        assert (await client.post("/users/9/points", json=wish, headers=buyer)).status_code == 403
        response = await client.post("/users/9/points", json=wish, headers=admin)
        assert (response.status_code, response.json()) == (201, {"balance": 7})
        call = last(rpc)
        assert (call.user_id, call.delta, call.reason, call.by) == (9, delta, "a gift", 1)

    @pytest.mark.parametrize(
        ("path", "wish", "status", "named"),
        [
            ("/users/9/points", {"delta": 0, "reason": "x"}, 422, ["delta"]),
            ("/users/9/points", {"delta": 10**12 + 1, "reason": "x"}, 422, ["delta"]),
            ("/users/9/points", {"delta": -(10**12) - 1, "reason": "x"}, 422, ["delta"]),
            ("/users/9/points", {"delta": True, "reason": "x"}, 400, ["delta"]),
            ("/users/9/points", {"delta": "1", "reason": "x"}, 400, ["delta"]),
            ("/users/9/points", {"delta": 1.0, "reason": "x"}, 400, ["delta"]),
            ("/users/9/points", {"delta": 1}, 400, ["reason"]),
            ("/users/9/points", {"delta": 1, "reason": ""}, 422, ["reason"]),
            ("/users/9/points", {"delta": 1, "reason": " \t "}, 422, ["reason"]),
            ("/users/9/points", {"delta": 1, "reason": "x" * 201}, 422, ["reason"]),
            ("/users/9/points", {"delta": 1, "reason": 7}, 400, ["reason"]),
            ("/users/9/points", {"delta": 1, "reason": "x", "user_id": 3}, 422, ["user_id"]),
            ("/users/0/points", {"delta": 1, "reason": "x"}, 404, []),
            ("/users/x/points", {"delta": 1, "reason": "x"}, 404, []),
        ],
    )
    async def test_a_gift_that_cannot_be_meant_is_refused(
        self,
        client: Client,
        rpc: FakeRpc,
        admin: dict[str, str],
        path: str,
        wish: dict[str, Any],
        status: int,
        named: list[str],
    ) -> None:
        response = await client.post(path, json=wish, headers=admin)
        assert response.status_code == status, response.text
        assert [error["field"] for error in response.json().get("errors", [])] == named
        assert not any(isinstance(call, payment.GrantPoints) for call in rpc.calls)

    async def test_history(self, client: Client, rpc: FakeRpc, buyer: dict[str, str]) -> None:
        rpc.answers[payment.GetHistory] = lambda _: payment.LedgerPage(items=[], next=None)
        assert (await client.get("/points/history?limit=3&after=9", headers=buyer)).status_code == 200
        assert last(rpc) == payment.GetHistory(user_id=2, limit=3, after=9)


@pytest.mark.parametrize("path", ["/items", "/items/1", "/coupons", "/.well-known/jwks.json"])
async def test_a_service_that_is_away_is_503_and_says_when_to_try_again(
    client: Client, rpc: FakeRpc, path: str
) -> None:
    no_answers: dict[type[Call[Any]], Any] = {}
    rpc.answers = no_answers
    response = await client.get(path)

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["content-type"] == "application/problem+json"
