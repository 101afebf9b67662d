"""Cancelling in whole and in part, and the list of transactions that it shows up in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_sim.payments import SEOUL
from pg_sim.web import path_of
from tests.pg_sim.conftest import Pg, order_number, part, refused

DAY = {"startDate": "2000-01-01", "endDate": "2100-01-01T00:00:00"}


async def test_a_charge_is_given_back_in_parts(pg: Pg) -> None:
    key = (await pg.charged())["paymentKey"]

    first = (await pg.cancel(key, 5_000, reason="One shirt too many")).json()
    assert (first["status"], first["totalAmount"], first["balanceAmount"]) == (
        "PARTIAL_CANCELED",
        20_000,
        15_000,
    )
    (one,) = first["cancels"]
    assert (one["cancelAmount"], one["cancelReason"]) == (5_000, "One shirt too many")
    assert one["transactionKey"] == first["lastTransactionKey"]
    assert one["canceledAt"].endswith("+09:00")

    assert refused(await pg.cancel(key, 15_001)) == (403, "NOT_CANCELABLE_AMOUNT")
    rest = (await pg.cancel(key)).json()
    assert (rest["status"], rest["balanceAmount"]) == ("CANCELED", 0)
    assert [one["cancelAmount"] for one in rest["cancels"]] == [5_000, 15_000]
    for amount in (None, 1):
        assert refused(await pg.cancel(key, amount)) == (400, "ALREADY_CANCELED_PAYMENT")


async def test_parts_that_add_up_are_the_whole(pg: Pg) -> None:
    key = (await pg.charged())["paymentKey"]
    assert (await pg.cancel(key, 12_000)).json()["status"] == "PARTIAL_CANCELED"
    assert (await pg.cancel(key, 8_000)).json()["status"] == "CANCELED"


async def test_without_an_idempotency_key_a_part_is_given_back_twice(pg: Pg) -> None:
    key = (await pg.charged())["paymentKey"]
    for _ in range(2):
        await pg.cancel(key, 1_000, once="k-1")
    assert (await pg.look(key))["balanceAmount"] == 19_000
    for _ in range(2):
        await pg.cancel(key, 1_000)
    assert (await pg.look(key))["balanceAmount"] == 17_000


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cancelReason": ""},
        {"cancelReason": "x" * 201},
        {"cancelReason": "x", "cancelAmount": 0},
        {"cancelReason": "x", "cancelAmount": -1},
        {"cancelReason": "x", "cancelAmount": "5"},
    ],
)
async def test_a_cancellation_that_is_not_valid(pg: Pg, body: dict[str, Any]) -> None:
    payment = await pg.charged()
    answer = await pg.post(f"/v1/payments/{payment['paymentKey']}/cancel", json=body)
    assert refused(answer) == (400, "INVALID_REQUEST")
    assert await pg.look(payment["paymentKey"]) == payment


@pytest.mark.parametrize(
    "key",
    [
        "a/b",
        "../x",
        "a?b=c",
        "a#b",
        "100%",
        "%2F",
        "a b",
        "a+b",
        "x/cancel?y",
        "카드",
        "/",
        "a=&;:@",
    ],
)
async def test_keys_may_be_any_visible_characters(pg: Pg, key: str) -> None:
    number = order_number()
    assert (await pg.confirm(key, number)).json()["paymentKey"] == key
    assert (await pg.look(key))["orderId"] == number
    assert (await pg.cancel(key, 1_000)).json()["paymentKey"] == key
    answer = await pg.post(f"/simulator/charges/{part(key)}/cancel", json={"amount": 500})
    assert answer.json()["balanceAmount"] == 18_500


async def test_a_key_that_was_not_escaped_reaches_another_payment(pg: Pg) -> None:
    victim = (await pg.charged())["paymentKey"]
    answer = await pg.post(f"/v1/payments/{victim}/cancel?/cancel", json={"cancelReason": "x"})
    assert answer.json()["status"] == "CANCELED"


@given(st.lists(st.text(min_size=1), min_size=1))
def test_the_parts_of_a_path_are_those_that_were_sent(parts: list[str]) -> None:
    scope: Any = {"raw_path": ("/" + "/".join(part(one) for one in parts)).encode(), "path": ""}
    assert path_of(scope) == parts


# --- transactions


async def _all(pg: Pg, limit: int, **wanted: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        after = {"startingAfter": rows[-1]["transactionKey"]} if rows else {}
        answer = await pg.get("/v1/transactions", params=DAY | wanted | after | {"limit": limit})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page) <= limit
        rows += page
        if len(page) < limit:
            return rows


async def test_there_is_a_row_for_each_charge_and_each_cancellation(pg: Pg) -> None:
    assert await _all(pg, 10) == []
    first, second = await pg.charged(amount=700), await pg.charged(amount=900)
    await pg.confirm(await pg.key("4000000000000002"), order_number())
    part_of_first = (await pg.cancel(first["paymentKey"], 300)).json()
    rest_of_first = (await pg.cancel(first["paymentKey"])).json()

    rows = await _all(pg, 10)

    assert [(row["paymentKey"], row["status"], row["amount"]) for row in rows] == [
        (first["paymentKey"], "DONE", 700),
        (second["paymentKey"], "DONE", 900),
        (first["paymentKey"], "PARTIAL_CANCELED", 300),
        (first["paymentKey"], "CANCELED", 400),
    ]
    assert [row["transactionKey"] for row in rows] == [
        first["lastTransactionKey"],
        second["lastTransactionKey"],
        part_of_first["lastTransactionKey"],
        rest_of_first["lastTransactionKey"],
    ]
    assert {(row["currency"], row["method"]) for row in rows} == {("KRW", "카드")}
    assert rows[0]["orderId"] == first["orderId"]
    assert rows[0]["transactionAt"] == first["approvedAt"]
    for limit in (1, 2, 3, 4, 5):
        assert await _all(pg, limit) == rows


async def test_transactions_are_listed_by_their_time_in_seoul(pg: Pg) -> None:
    at = (await pg.charged())["approvedAt"]
    second = timedelta(seconds=1)
    exact = datetime.fromisoformat(at)

    async def between(start: datetime, end: datetime, zone: Any = None) -> int:
        def text(time: datetime) -> str:
            return time.astimezone(zone).isoformat() if zone else time.replace(tzinfo=None).isoformat()

        return len(await _all(pg, 10, startDate=text(start), endDate=text(end)))

    assert await between(exact, exact) == 1
    assert await between(exact, exact, UTC) == 1
    assert await between(exact - second, exact - second) == 0
    assert await between(exact + second, exact + second) == 0
    day = exact.astimezone(SEOUL).date().isoformat()
    assert len(await _all(pg, 10, startDate=day, endDate=day)) == 1
    assert len(await _all(pg, 10, startDate="0001-01-01", endDate="9999-12-31")) == 1


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"startDate": "yesterday"}, "INVALID_REQUEST"),
        ({"endDate": ""}, "INVALID_REQUEST"),
        ({"limit": "0"}, "INVALID_REQUEST"),
        ({"limit": "-1"}, "INVALID_REQUEST"),
        ({"limit": "10001"}, "INVALID_REQUEST"),
        ({"limit": "ten"}, "INVALID_REQUEST"),
        ({"startingAfter": "nothing"}, "INVALID_TRANSACTION_KEY"),
    ],
)
async def test_a_list_that_cannot_be(pg: Pg, wanted: dict[str, str], code: str) -> None:
    assert refused(await pg.get("/v1/transactions", params=DAY | wanted)) == (400, code)
