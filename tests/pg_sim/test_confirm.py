"""Confirming: whose a key is, when its time is over, what is answered twice."""

import asyncio
from typing import Any

import pytest

from tests.pg_sim.conftest import Pg, Started, order_number, refused
from tests.support.waiting import eventually

LATE = "4000000000000119"


async def test_a_confirmed_payment_is_shown_as_the_pg_shows_it(pg: Pg) -> None:
    number = order_number()
    key = await pg.key(order_id=number, amount=20_000)
    assert (await pg.look(key))["status"] == "IN_PROGRESS"

    payment = (await pg.confirm(key, number)).json()

    assert payment["paymentKey"] == key
    assert payment["orderId"] == number
    assert (payment["status"], payment["totalAmount"], payment["balanceAmount"]) == ("DONE", 20_000, 20_000)
    assert (payment["currency"], payment["method"]) == ("KRW", "카드")
    assert payment["cancels"] is None
    assert payment["failure"] is None
    assert payment["lastTransactionKey"]
    assert payment["requestedAt"].endswith("+09:00")
    assert payment["approvedAt"].endswith("+09:00")
    assert payment == await pg.look(key)
    assert payment == (await pg.get(f"/v1/payments/orders/{number}")).json()


@pytest.mark.parametrize(
    ("secret", "header", "expected"),
    [
        ("wrong", None, (401, "UNAUTHORIZED_KEY")),
        ("", "", (401, "UNAUTHORIZED_KEY")),
        ("", "Bearer x", (401, "UNAUTHORIZED_KEY")),
        ("", "Basic c2stb2YtdGVzdHM=", (403, "INCORRECT_BASIC_AUTH_FORMAT")),
        ("", "Basic %%%", (403, "INCORRECT_BASIC_AUTH_FORMAT")),
    ],
)
async def test_the_secret_key_is_needed(
    pg: Pg, secret: str, header: str | None, expected: tuple[int, str]
) -> None:
    pg.auth = (secret, "") if header is None else None  # pyright: ignore[reportAttributeAccessIssue]
    headers = {"Authorization": header} if header is not None else {}
    assert refused(await pg.get("/v1/payments/some-key", headers=headers)) == expected


async def test_a_key_that_nobody_knows_is_not_found(pg: Pg) -> None:
    for path in ("/v1/payments/nobody", f"/v1/payments/orders/{order_number()}"):
        assert refused(await pg.get(path)) == (404, "NOT_FOUND_PAYMENT")
    assert refused(await pg.cancel("nobody")) == (404, "NOT_FOUND_PAYMENT")
    assert refused(await pg.get("/v1/refunds")) == (404, "NOT_FOUND")


async def test_a_confirmed_key_is_not_confirmed_again_whoever_asks(pg: Pg) -> None:
    payment = await pg.charged()
    for number, amount in ((payment["orderId"], 20_000), (order_number(), 20_000), (order_number(), 1)):
        answer = await pg.confirm(payment["paymentKey"], number, amount)
        assert refused(answer) == (400, "ALREADY_PROCESSED_PAYMENT")
    assert await pg.look(payment["paymentKey"]) == payment


@pytest.mark.parametrize("change", ["number", "amount"])
async def test_a_key_is_refused_to_another_number_or_amount(pg: Pg, change: str) -> None:
    number = order_number()
    key = await pg.key(order_id=number, amount=500)
    other: Any = (order_number(), 500) if change == "number" else (number, 499)
    assert refused(await pg.confirm(key, *other)) == (403, "FORBIDDEN_REQUEST")
    assert (await pg.confirm(key, number, 500)).status_code == 200


@pytest.mark.parametrize("handed_out", [True, False])
async def test_a_free_key_belongs_to_the_first_number_that_confirms_it(pg: Pg, handed_out: bool) -> None:
    key = await pg.key("4000000000000176") if handed_out else f"default_{order_number()}"
    if handed_out:
        assert refused(await pg.get(f"/v1/payments/{key}")) == (404, "NOT_FOUND_PAYMENT")
        number = order_number()
        assert refused(await pg.confirm(key, number)) == (400, "PROVIDER_ERROR")
        assert refused(await pg.confirm(key, order_number())) == (403, "FORBIDDEN_REQUEST")
        assert refused(await pg.confirm(key, number, 1)) == (403, "FORBIDDEN_REQUEST")
    else:
        assert (await pg.confirm(key, order_number())).json()["status"] == "DONE"


async def test_an_order_number_is_charged_once(pg: Pg) -> None:
    payment = await pg.charged()
    number = payment["orderId"]
    assert refused(await pg.confirm(await pg.key(), number)) == (400, "DUPLICATED_ORDER_ID")
    answer = await pg.post("/simulator/keys", json={"order_id": number, "amount": 20_000})
    assert refused(answer) == (400, "DUPLICATED_ORDER_ID")
    assert (await pg.get(f"/v1/payments/orders/{number}")).json() == payment
    assert (await pg.cancel(payment["paymentKey"])).status_code == 200
    assert refused(await pg.confirm(await pg.key(), number)) == (400, "DUPLICATED_ORDER_ID")


async def test_a_number_that_was_declined_may_be_paid_with_another_key(pg: Pg) -> None:
    number = order_number()
    declined = await pg.key("4000000000000002", order_id=number, amount=20_000)
    assert refused(await pg.confirm(declined, number)) == (403, "REJECT_CARD_COMPANY")
    was = await pg.look(declined)
    assert (was["status"], was["failure"]["code"], was["approvedAt"]) == (
        "ABORTED",
        "REJECT_CARD_COMPANY",
        None,
    )
    assert refused(await pg.confirm(declined, number)) == (400, "ALREADY_PROCESSED_PAYMENT")

    good = await pg.key(order_id=number, amount=20_000)
    assert (await pg.confirm(good, number)).status_code == 200
    assert (await pg.get(f"/v1/payments/orders/{number}")).json()["paymentKey"] == good


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"paymentKey": "k", "orderId": "short", "amount": 1}, "orderId"),
        ({"paymentKey": "k", "orderId": "x" * 65, "amount": 1}, "orderId"),
        ({"paymentKey": "k", "orderId": "no spaces", "amount": 1}, "orderId"),
        ({"paymentKey": "k", "orderId": "order-1", "amount": 0}, "amount"),
        ({"paymentKey": "k", "orderId": "order-1", "amount": -5}, "amount"),
        ({"paymentKey": "k", "orderId": "order-1", "amount": "5"}, "amount"),
        ({"paymentKey": "k", "orderId": "order-1", "amount": 5.5}, "amount"),
        ({"paymentKey": "k", "orderId": "order-1", "amount": True}, "amount"),
        ({"paymentKey": "", "orderId": "order-1", "amount": 5}, "paymentKey"),
        ({"orderId": "order-1", "amount": 5}, "paymentKey"),
        ([], "array"),
    ],
)
async def test_a_body_that_is_not_valid_is_refused_with_what_is_wrong(pg: Pg, body: Any, named: str) -> None:
    answer = await pg.post("/v1/payments/confirm", json=body)
    assert refused(answer) == (400, "INVALID_REQUEST")
    assert named in answer.json()["message"]


async def test_a_session_ends(start: Started) -> None:
    pg = start(pg_session_s=0.2)
    number = order_number()
    key = await pg.key(order_id=number, amount=20_000)

    ended = await eventually(lambda: pg.look(key), holds=lambda payment: payment["status"] == "EXPIRED")

    assert ended["failure"]["code"] == "EXPIRED_PAYMENT"
    assert ended["approvedAt"] is None
    assert refused(await pg.confirm(key, number)) == (404, "NOT_FOUND_PAYMENT_SESSION")
    assert refused(await pg.cancel(key)) == (403, "NOT_CANCELABLE_PAYMENT")
    again = await pg.key(order_id=number, amount=20_000)
    assert (await pg.confirm(again, number)).status_code == 200


async def test_a_late_charge_does_not_outlive_its_session(start: Started) -> None:
    pg = start(pg_session_s=0.2, pg_late_s=0.4)
    key = await pg.key(LATE)
    assert refused(await pg.confirm(key, order_number())) == (404, "NOT_FOUND_PAYMENT_SESSION")
    assert (await pg.look(key))["status"] == "EXPIRED"


@pytest.mark.parametrize("card", [None, "4000000000000002", "4000000000000176"])
async def test_the_same_idempotency_key_gets_the_first_answer(pg: Pg, card: str | None) -> None:
    key, number = await pg.key(card), order_number()
    first = await pg.confirm(key, number, once="k-1")
    if card is None:
        assert (await pg.cancel(key)).status_code == 200
    for body in ((key, number, 20_000), (key, number, 1), (await pg.key(), order_number(), 20_000)):
        again = await pg.confirm(*body, once="k-1")
        assert (again.status_code, again.json()) == (first.status_code, first.json())


async def test_an_idempotency_key_counts_for_one_address(pg: Pg) -> None:
    key = await pg.key()
    assert (await pg.confirm(key, order_number(), once="k-1")).json()["status"] == "DONE"
    assert (await pg.cancel(key, 1_000, once="k-1")).json()["status"] == "PARTIAL_CANCELED"
    assert (await pg.cancel(key, 1_000, once="k-1")).json()["balanceAmount"] == 19_000
    other = (await pg.charged())["paymentKey"]
    assert (await pg.cancel(other, 5_000, once="k-1")).json()["balanceAmount"] == 15_000


async def test_an_idempotency_key_has_its_length(pg: Pg) -> None:
    for once in ("", "x" * 301):
        answer = await pg.confirm(await pg.key(), order_number(), once=once)
        assert refused(answer) == (400, "INVALID_IDEMPOTENCY_KEY")


async def test_a_request_that_is_still_at_work_is_not_begun_twice(pg: Pg) -> None:
    key, number = await pg.key(LATE), order_number()
    first = asyncio.create_task(pg.confirm(key, number, once="k-1"))
    await eventually(lambda: pg.look(key), holds=lambda payment: payment.get("status") == "IN_PROGRESS")

    assert refused(await pg.confirm(key, number, once="k-1")) == (409, "IDEMPOTENT_REQUEST_PROCESSING")
    for once in (None, "k-2"):
        answer = await pg.confirm(key, number, once=once)
        assert refused(answer) == (403, "FORBIDDEN_CONSECUTIVE_REQUEST")

    answer = await first
    assert answer.json()["status"] == "DONE"
    assert (await pg.confirm(key, number, once="k-1")).json() == answer.json()
    assert refused(await pg.confirm(key, number, once="k-2")) == (400, "ALREADY_PROCESSED_PAYMENT")


async def test_what_was_begun_goes_on_when_the_caller_hangs_up(pg: Pg) -> None:
    key, number = await pg.key(LATE), order_number()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pg.confirm(key, number, once="k-1"), 0.05)
    charged = await eventually(lambda: pg.look(key), holds=lambda payment: payment["status"] == "DONE")
    assert (await pg.confirm(key, number, once="k-1")).json() == charged
