"""The page: what a person sees and does, in a browser with and without pictures."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from playwright.async_api import expect

from pg_sim.app import create_app
from pg_sim.cards import CARDS
from pg_sim.settings import SimulatorSettings
from tests.pg_sim.conftest import QUICK, Pg, Shop, order_number, part, refused
from tests.support.chromium import browser
from tests.support.ports import free_port
from tests.support.waiting import eventually

JSON = {"Accept": "application/json"}
NASTY = "<script>alert(1)</script>\"'&"


async def test_charges_are_listed_newest_first(pg: Pg) -> None:
    charges = [await pg.charged(amount=amount) for amount in (1_000, 2_000, 3_000)]
    await pg.key()  # nobody's yet
    page = await pg.get("/simulator")
    assert page.headers["content-type"].startswith("text/html")
    numbers = [number for number in re.findall(r"<code>([0-9a-f-]{36})</code>", page.text)]
    assert numbers == [one["orderId"] for one in reversed(charges)]
    for card in CARDS.values():
        assert card.number in page.text

    listed = (await pg.get("/simulator/charges")).json()
    assert [one["paymentKey"] for one in listed] == [one["paymentKey"] for one in reversed(charges)]
    assert {*listed[0]} >= {
        *("paymentKey", "orderId", "status", "totalAmount", "method", "approvedAt", "failure"),
        *("balanceAmount", "currency", "cancels"),
    }
    assert listed[0]["cancels"] == []


async def test_many_charges_come_page_by_page(pg: Pg) -> None:
    numbers = [(await pg.charged())["orderId"] for _ in range(51)]
    first, second, third = [(await pg.get(f"/simulator?page={page}")).text for page in (1, 2, 3)]
    assert "Older" in first
    assert "Newer" not in first
    assert numbers[0] not in first
    assert numbers[50] in first
    assert numbers[0] in second
    assert "There is no page 3" in third
    for wrong in ("0", "-1", "x", "9" * 30):
        answer = await pg.get(f"/simulator?page={wrong}")
        assert answer.status_code == 400
        assert "page: expected a number from 1" in html.unescape(answer.text)


async def test_a_charge_is_found_by_its_number_or_key(pg: Pg) -> None:
    wanted, other = await pg.charged(), await pg.charged()
    for find in (wanted["orderId"], f" {wanted['paymentKey']} "):
        page = (await pg.get("/simulator", params={"find": find})).text
        assert wanted["orderId"] in page
        assert other["orderId"] not in page
    answer = await pg.get("/simulator", params={"find": NASTY})
    assert "There is no charge with the order number or payment key" in answer.text


async def test_nothing_that_a_client_sent_is_more_than_text(pg: Pg) -> None:
    key = f"{NASTY}/../x"
    await pg.confirm(key, order_number())
    await pg.cancel(key, 500, reason=NASTY)
    charge = await pg.get(f"/simulator/charges/{part(key)}")
    wrong = await pg.post(f"/simulator/charges/{part(key)}/cancel", data={"amount": NASTY, "reason": NASTY})
    pages = [
        charge,
        wrong,
        await pg.get("/simulator", params={"find": NASTY}),
        await pg.get("/simulator", params={"page": NASTY}),
        await pg.get(f"/simulator/{part(NASTY)}"),
        await pg.get(f"/simulator/charges/{part(key)}", params={"done": NASTY}),
    ]
    assert (charge.status_code, wrong.status_code) == (200, 400)
    for page in pages:
        assert "<script" not in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert page.headers["x-content-type-options"] == "nosniff"
    assert html.escape(NASTY, quote=False) in charge.text.replace("&#34;", '"').replace("&#39;", "'")


async def test_a_person_cancels_in_part_and_then_the_rest(pg: Pg) -> None:
    key = (await pg.charged("4000000000000168"))["paymentKey"]
    done = await pg.post(f"/simulator/charges/{key}/cancel", data={"amount": "500", "reason": "Broken"})
    assert (done.status_code, done.headers["location"]) == (303, f"/simulator/charges/{key}?done=cancelled")
    assert "It was cancelled." in (await pg.get(done.headers["location"])).text
    assert (await pg.look(key))["cancels"][0]["cancelReason"] == "Broken"

    await pg.post(f"/simulator/charges/{key}/cancel", data={"amount": "", "reason": ""})
    rest = await pg.look(key)
    assert (rest["status"], rest["cancels"][1]["cancelAmount"]) == ("CANCELED", 19_500)
    assert "Cancel at the gateway" not in (await pg.get(f"/simulator/charges/{key}")).text


@pytest.mark.parametrize("body", [{"amount": 700}, {"amount": 700, "reason": "Broken"}, None])
async def test_a_program_cancels_as_well(pg: Pg, body: dict[str, Any] | None) -> None:
    key = (await pg.charged())["paymentKey"]
    answer = await pg.post(f"/simulator/charges/{key}/cancel", json=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["balanceAmount"] == (19_300 if body else 0)
    assert answer.json()["cancels"][0]["cancelReason"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"amount": "12.5"}, 400, "amount: expected whole won, such as 1000, got '12.5'"),
        ({"amount": "1,000"}, 400, "got '1,000'"),
        ({"amount": "-1"}, 400, "got '-1'"),
        ({"amount": "\uff19"}, 400, "expected whole won"),
        ({"amount": "0"}, 400, ">= 1"),
        ({"amount": "20001"}, 403, "more than what is left"),
        ({"amount": "1" * 30}, 400, "expected whole won"),
        ({"reason": "x" * 201}, 400, "<= 200"),
        ({"amuont": "5"}, 400, "amuont"),
        ({"amount": ["5", "6"]}, 400, "twice"),
    ],
)
async def test_what_cannot_be_cancelled_is_told_plainly(
    pg: Pg, fields: dict[str, Any], status: int, said: str
) -> None:
    payment = await pg.charged()
    address = f"/simulator/charges/{payment['paymentKey']}/cancel"
    page = await pg.post(address, data=fields)
    assert (page.status_code, page.headers["content-type"][:9]) == (status, "text/html")
    assert said in html.unescape(page.text)
    answer = await pg.post(address, data=fields, headers=JSON)
    assert answer.status_code == status
    assert said in answer.json()["message"]
    assert await pg.look(payment["paymentKey"]) == payment


async def test_addresses_that_lead_nowhere(pg: Pg) -> None:
    for path in ("/simulator/nothing", "/simulator/charges/nobody", "/simulator/charges/nobody/x"):
        assert (await pg.get(path)).status_code == 404
    for path in ("/simulator/charges/nobody/cancel", "/simulator/charges/nobody/notify"):
        assert refused(await pg.post(path, headers=JSON)) == (404, "NOT_FOUND_PAYMENT")


async def test_manners_that_there_are_not(pg: Pg) -> None:
    for body in ({"manner": "kind"}, {}, {"manner": "off", "more": 1}):
        assert refused(await pg.post("/simulator/manner", json=body, headers=JSON)) == (
            400,
            "INVALID_REQUEST",
        )
    answer = await pg.post("/simulator/manner", content=b"manner=off", headers=JSON)
    assert "Expected a form or JSON" in answer.json()["message"]


@pytest.mark.parametrize("origin", ["http://elsewhere", "null", "http://pg:81"])
async def test_no_page_of_somebody_elses_sends_forms_here(pg: Pg, origin: str) -> None:
    payment = await pg.charged()
    address = f"/simulator/charges/{payment['paymentKey']}/cancel"
    assert (await pg.post(address, data={}, headers={"Origin": origin})).status_code == 403
    assert await pg.look(payment["paymentKey"]) == payment
    assert (await pg.post(address, data={}, headers={"Origin": "http://pg"})).status_code == 303


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"card_number": "4242"}, "card_number"),
        ({"card_number": "4242 4242 4242 4242"}, "card_number"),
        ({"card_number": 4242424242424242}, "card_number"),
        ({"order_id": "order-1"}, "order_id and amount go together"),
        ({"amount": 5}, "order_id and amount go together"),
        ({"order_id": "short", "amount": 5}, "order_id"),
        ({"order_id": "order-1", "amount": 0}, "amount"),
        ({"order_id": None, "amount": None}, "order_id"),
        ({"card": "4242424242424242"}, "card"),
        ([], "array"),
    ],
)
async def test_keys_that_are_not_handed_out(pg: Pg, body: Any, said: str) -> None:
    answer = await pg.post("/simulator/keys", json=body)
    assert refused(answer) == (400, "INVALID_REQUEST")
    assert said in answer.json()["message"]


@asynccontextmanager
async def served(shop: Shop) -> AsyncIterator[str]:
    """A simulator that listens for a browser."""
    port = free_port()
    app = create_app(SimulatorSettings(**QUICK), shop)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


@pytest.mark.servers
async def test_a_browser_without_scripts_plays_the_gateway(shop: Shop) -> None:
    async with served(shop) as address, browser() as one:
        context = await one.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
        problems: list[str] = []
        page = await context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("requestfailed", lambda request: problems.append(request.url))
        key, number = "odd/key?x=%2F#", order_number()
        await context.request.post(
            f"{address}/v1/payments/confirm",
            data={"paymentKey": key, "orderId": number, "amount": 20_000},
            headers={"Authorization": "Basic c2stb2YtdGVzdHM6"},
        )

        await page.goto(f"{address}/simulator")
        await page.get_by_label("declines every card").check()
        await page.get_by_role("button", name="Set").click()
        await expect(page.get_by_text("It declines every card, until")).to_be_visible()
        await page.get_by_label("behaves as each card says").check()
        await page.get_by_role("button", name="Set").click()
        await expect(page.get_by_text("It declines every card, until")).to_have_count(0)

        await page.get_by_role("link", name=number).click()
        await page.get_by_label("Won, empty").fill("20,001")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_text("amount: expected whole won")).to_be_visible()
        await page.get_by_label("Won, empty").fill("500")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_text("It was cancelled.")).to_be_visible()
        await expect(page.get_by_text("20,000 won, of which 19,500 are left")).to_be_visible()
        await page.get_by_role("button", name="Send a notice").click()
        await expect(page.get_by_text("A notice is sent to the shop.")).to_be_visible()

        async def told() -> list[str]:
            return shop.told()

        await eventually(told, holds=lambda seen: seen.count("PARTIAL_CANCELED") == 2)
        assert all("400" in problem for problem in problems), problems
        for path in ("", f"/charges/{part(key)}"):
            await page.goto(f"{address}/simulator{path}")
            assert await page.locator("html").evaluate("page => page.scrollWidth") == 360
