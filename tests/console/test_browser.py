"""The console in a real browser over a whole shop: it shows the truth, lives, and acts."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from playwright.async_api import Browser, expect

from deploy.local import fleet
from deploy.local.broker_users import amqp_url_for
from deploy.local.layout import Layout
from ops.demo.card_payments import CANCEL_REFUSED
from ops.demo.stage import FIXED, SHIRT_PRICE, Stage, shirts
from ops.shop import Order, Refused
from shared.broker import PUBLISHED_BY
from shared.events.cloudevents import CloudEvent, batch, encode
from shared.ids import new_id
from tests.console.desk import PATIENCE_MS, WIDE, Desk
from tests.support.waiting import eventually

expect.set_options(timeout=PATIENCE_MS)


async def ask(stage: Stage, path: str, **query: str | int) -> Any:
    """What the API answers an admin."""
    return (await stage.admin.send("GET", path, query=query)).json()


async def heard(stage: Stage, order: Order) -> Any:
    """The order's timeline, once the read side has heard of its end."""

    async def look() -> Any:
        try:
            return await ask(stage, f"/orders/{order.id}/timeline")
        except Refused as not_yet:
            if not_yet.status != 503:
                raise
            return None

    return await eventually(look, holds=lambda seen: seen and seen["settled"] and seen["ended_at"])


async def undo(stage: Stage) -> Order:
    """An order that is refused by one participant after another has said yes."""
    buyer, item = await stage.buyer(points=100), await stage.shirt(5)
    coupons = await stage.coupons(buyer, FIXED)
    line = shirts(item, discounted_price=SHIRT_PRICE - 3_000, coupons=coupons)
    return await buyer.place([line], pay_with="points", wait_s=20)


async def test_a_customer_is_refused_and_nobody_sees_anything_without_signing_in(
    chromium: Browser, shop: Layout
) -> None:
    context = await chromium.new_context(viewport=WIDE)
    try:
        desk = Desk(shop.gateway_url, await context.new_page())
        await desk.sign_in("buyer1@sagamart.local", "sagamart-buyer")
        await expect(desk.page.get_by_role("alert")).to_contain_text(
            "buyer1@sagamart.local has no role with a page in the console"
        )
        await desk.photograph("sign-in-refused")
        for path in (
            "orders",
            "dead-letters",
            "queues",
            "overdue",
            "payments",
            "flow",
            "sales",
            "services",
            "audit",
        ):
            await desk.open(path)
            assert "/console/sign-in?then=" in desk.page.url
        assert desk.complaints == []
    finally:
        await context.close()


async def test_orders_are_those_of_the_api_and_new_ones_come_by_themselves(desk: Desk, stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(2)
    done = await buyer.place([shirts(item)], wait_s=20)
    await heard(stage, done)
    await desk.open_live("orders")
    page = desk.page
    row = page.locator(f"#order-{done.id}")
    await expect(row).to_contain_text("✓ completed")
    await expect(row).to_contain_text(f"₩{done.total:,}")

    await page.evaluate("window.untouched = true")
    await page.get_by_role("searchbox").fill("half a thou")
    late = await buyer.place([shirts(item, 2)], wait_s=20)
    await expect(page.locator(f"#order-{late.id}")).to_contain_text("✕ failed")
    await expect(page.locator(f"#order-{late.id}")).to_contain_text("out of stock")
    assert await page.evaluate("window.untouched") is True
    await expect(page.get_by_role("searchbox")).to_have_value("half a thou")
    listed = [one["id"] for one in (await ask(stage, "/orders", limit=50))["items"]]
    assert await desk.ids("tr[id^=order-]", "order-") == listed
    await desk.photograph("orders")


async def test_orders_are_found_by_whatever_id_is_at_hand(desk: Desk, stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(5)
    order = await buyer.place([shirts(item)], wait_s=20)
    other = await buyer.place([shirts(item)], wait_s=20)
    message = (await heard(stage, order))["steps"][0]["answered_by"][0]
    await heard(stage, other)
    for text in (order.id, message):
        await desk.open("orders")
        await desk.page.keyboard.press("/")
        await desk.page.keyboard.type(text)
        await desk.page.keyboard.press("Enter")
        await desk.page.wait_for_url("**/orders?q=*")
        assert await desk.ids("tr[id^=order-]", "order-") == [order.id]
    await desk.open(f"orders?q={order.buyer_id}")
    assert await desk.ids("tr[id^=order-]", "order-") == [other.id, order.id]
    await desk.open(f"orders?q={order.buyer_id}&status=CANCEL")
    await expect(desk.page.get_by_text("No order matches.")).to_be_visible()


async def test_an_order_is_drawn_as_its_timeline_tells_with_its_messages_at_hand(
    desk: Desk, stage: Stage
) -> None:
    order = await undo(stage)
    told = await heard(stage, order)
    await desk.open_live(f"orders/{order.id}")
    page = desk.page
    await expect(page.locator("#status")).to_have_text("⊘ cancelled")
    steps = await desk.texts(".timeline .what")
    assert steps == [f"{step['service']} {step['name'].replace('_', ' ')}" for step in told["steps"]]
    backwards = [step for step in told["steps"] if step["backwards"]]
    assert await page.locator(".lane path.arrow").count() == len(backwards) >= 2
    await page.locator("#messages ~ table a[data-peek]").first.click()
    await expect(page.get_by_role("dialog")).to_contain_text(order.id)
    await expect(page.get_by_role("dialog")).to_contain_text('"participants"')
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await desk.photograph("order")


async def test_an_order_is_cancelled_after_a_question_and_the_page_follows(desk: Desk, stage: Stage) -> None:
    buyer, item = await stage.buyer(points=100_000), await stage.shirt(5)
    order = await buyer.place([shirts(item)], pay_with="points", wait_s=20)
    await desk.open_live(f"orders/{order.id}")
    await expect(desk.page.get_by_role("button", name="Yes, cancel it")).to_be_hidden()
    await desk.act(desk.page.locator("#live"), "Cancel the order", "Yes, cancel it")
    await expect(desk.page.get_by_text("The order is cancelled.")).to_be_visible()
    await expect(desk.page.locator("#status")).to_have_text("⊘ cancelled")
    await expect(desk.page.get_by_text("Cancel the order")).to_have_count(0)
    assert (await stage.admin.order(order.id)).reason == "cancelled_by_admin"
    assert await buyer.balance() == 100_000
    await desk.open("audit")
    first = desk.page.locator("tbody tr").first
    await expect(first).to_contain_text("cancel order")
    await expect(first).to_contain_text(order.id)
    await desk.photograph("audit")


@pytest.mark.usefixtures("management")
async def test_what_an_absent_service_holds_up_can_be_seen(desk: Desk, stage: Stage, shop: Layout) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(5)
    coupons = await stage.coupons(buyer, FIXED)
    await desk.open_live("services")
    card = desk.page.locator("#service-coupon")
    await expect(card).to_contain_text("✓ ready")
    await asyncio.to_thread(fleet.stop, "coupon")
    try:
        line = shirts(item, discounted_price=SHIRT_PRICE - 3_000, coupons=coupons)
        order = await buyer.place([line])
        await expect(card).to_contain_text("✕ down")
        await desk.photograph("services")

        await desk.open_live(f"orders/{order.id}")
        await expect(desk.page.get_by_text("Waiting for coupon: apply coupons")).to_be_visible()
        await expect(desk.page.locator(".lane .waiting").first).to_be_visible()
        await desk.photograph("order-waiting")

        await desk.open_live("queues")
        waiting = desk.page.locator(r"#queue-coupon\.order\.placed")
        await expect(waiting).to_contain_text("✕ nobody")
        await expect(desk.page.locator("#outbox-coupon")).to_contain_text("✕ down")
        await desk.photograph("queues")

        await desk.open_live("overdue")
        late = desk.page.locator(f"#order-{order.id}")
        await expect(late).to_contain_text("coupon to give back")
        await desk.photograph("overdue")
    finally:
        await asyncio.to_thread(fleet.start, "coupon")
        await asyncio.to_thread(fleet.await_ready, "coupon")
    await expect(late).to_have_count(0)
    assert (await stage.admin.until_settled(order.id)).status == "CANCEL"


@pytest.mark.usefixtures("management")
async def test_services_queues_and_the_map_show_what_operators_are_told(desk: Desk, stage: Stage) -> None:
    await desk.open_live("services")
    services = (await ask(stage, "/ops/services"))["items"]
    assert await desk.ids("section[id^=service-]", "service-") == [one["service"] for one in services]
    for one in services:
        card = desk.page.locator(f"#service-{one['service']}")
        await expect(card).to_contain_text(one["version"])
        await expect(card).to_contain_text(one["replicas"][0]["name"])
    await desk.open("queues?show=all")
    queues = [one["name"] for one in (await ask(stage, "/ops/queues", limit=500))["items"]]
    lasting = [one for one in queues if "#" not in one and not one.endswith(".dead") and "amq." not in one]
    assert await desk.ids("tr[id^=queue-]", "queue-") == lasting
    await desk.open_live("flow")
    flow = await ask(stage, "/ops/flow")
    assert await desk.page.locator("svg.flow path.edge").count() == len(flow["edges"])
    await desk.page.get_by_text("The same as a table").click()
    ways = await desk.ids("tr[id^=edge-]", "edge-")
    assert sorted(ways) == sorted(f"{one['event']}-{one['consumer']}" for one in flow["edges"])
    await desk.photograph("flow")
    for name, part in (("OpenAPI", "/orders"), ("AsyncAPI", "order.placed")):
        await desk.open("audit")
        await desk.page.get_by_role("link", name=name, exact=True).click()
        await expect(desk.page.get_by_text(part).first).to_be_visible()


async def dead_ways(stage: Stage) -> list[str]:
    """The queues on the map that have dead letters."""
    return [one["queue"] for one in (await ask(stage, "/ops/flow"))["edges"] if one["dead"]]


async def kill(shop: Layout, queue: str, body: bytes, exception: str) -> None:
    """Put a message where a queue's dead letters lie, as a service does that has given up."""
    url, publisher = (amqp_url_for(shop, name) for name in ("coupon", "item"))
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        headers: Any = {
            "x-exception": exception,
            "x-exception-message": "told too early",
            "x-attempt": 4,
            PUBLISHED_BY: urlsplit(publisher).username,
        }
        message = aio_pika.Message(
            body,
            headers=headers,
            type="item.changed",
            message_id=str(new_id()),
            user_id=urlsplit(url).username,
        )
        await channel.default_exchange.publish(message, routing_key=f"{queue}.dead")


def changed(item: int) -> bytes:
    """Word of an item as it was at first: whoever knows it already learns nothing new."""
    data = {"item_id": item, "name": "Shirt", "size": "100-M", "price": SHIRT_PRICE, "version": 1}
    event = CloudEvent(
        id=str(new_id()),
        source="item-svc",
        type="item.changed",
        subject=str(item),
        time=datetime.now(UTC),
        data=data,
    )
    return batch([encode(event)])


async def test_dead_letters_are_seen_sent_back_and_given_up(desk: Desk, stage: Stage, shop: Layout) -> None:
    item, queue, exception = await stage.shirt(5), "coupon.item.changed", f"ItemMissing{stage.run}"
    await desk.open_live("dead-letters")
    for _ in range(3):
        await kill(shop, queue, changed(item), exception)
    group = desk.page.locator("section", has_text=exception)
    await expect(group).to_contain_text(queue)
    await expect(group.locator("dd").first).to_have_text("3")
    await desk.photograph("dead-letters")
    await desk.open_live("flow")
    await expect(desk.page.locator("svg.flow path.edge.bad")).to_have_count(len(await dead_ways(stage)))

    await desk.open_live("dead-letters")
    await group.get_by_role("link", name="Show them").click()
    await expect(desk.page.locator("#pulse")).to_have_text("Live")
    rows = desk.page.locator("tr[id^=letter-]")
    await expect(rows).to_have_count(3)
    first, second, third = await desk.ids("tr[id^=letter-]", "letter-")
    await desk.page.locator(f"#letter-{first} input[name=ids]").check()
    await desk.act(desk.page.locator("#live"), "Redrive selected", "Yes, redrive selected")
    await expect(desk.page.get_by_text("1 dead letter being redriven")).to_be_visible()
    await expect(desk.page.locator(f"#letter-{first}")).to_contain_text("✓ redriven")
    await expect(desk.page.locator(f"#letter-{second}")).to_contain_text("✕ dead")
    await desk.photograph("dead-letter-group")

    await desk.page.get_by_role("link", name=f"#{second}").click()
    await expect(desk.page.locator("pre").first).to_contain_text(f'"item_id": {item}')
    await desk.photograph("dead-letter")
    await desk.act(desk.page.locator("#live"), "Discard", "Yes, discard it", reason="a test of the console")
    await expect(desk.page.locator("#state")).to_contain_text("⊘ discarded a test of the console")

    await desk.open_live("dead-letters")
    await desk.act(group, "Redrive 1 letter", "Yes, redrive them")
    await expect(desk.page.locator("#progress")).to_have_text(
        "0 dead, 0 being redriven, 2 redriven, 1 discarded"
    )
    letters = (await ask(stage, "/ops/dead-letters", queue=queue))["items"]
    told = {one["id"]: one["state"] for one in letters if one["exception"] == exception}
    assert told == {int(first): "REDRIVEN", int(second): "DISCARDED", int(third): "REDRIVEN"}
    await desk.open_live("dead-letters")
    await expect(group).to_have_count(0)


async def test_a_payment_that_needs_a_person_is_seen_and_closed(desk: Desk, stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(5)
    key = await stage.card_key(CANCEL_REFUSED)
    order = await buyer.place([shirts(item)], pay_with="card", card_key=key, wait_s=20)
    await desk.open_live("payments")
    page = desk.page
    row = page.locator("tr[id^=payment-]", has=page.locator(f'a[href$="{order.id}"]'))
    await expect(row).to_have_count(0)
    await buyer.cancel(order.id)
    await expect(row).to_contain_text("cancel refused")
    await expect(row.get_by_role("button", name="Yes, close it")).to_be_hidden()
    await row.locator("summary").click()
    await row.locator("select").select_option("returned")
    await row.locator("input[name=reason]").fill("seen on the statement")
    await desk.photograph("payments")
    assert key not in await page.content()
    await row.get_by_role("button", name="Yes, close it").click()
    await expect(page.get_by_text(f"The payment of ₩{order.total:,} is closed as returned.")).to_be_visible()
    await expect(row).to_have_count(0)
    assert (await stage.admin.until_settled(order.id)).status == "CANCEL"
    await desk.open("audit")
    first = page.locator("tbody tr").first
    await expect(first).to_contain_text("payment.resolved")
    await expect(first).to_contain_text("seen on the statement")


async def test_sales_and_ranking_are_those_of_the_api_and_grow(desk: Desk, stage: Stage) -> None:
    buyer, item = await stage.buyer(points=80_000_000), await stage.shirt(1_500)
    await desk.open_live("sales?span=day&period=day&by=quantity")
    # So many that it is among the best, whatever other tests have sold.
    order = await buyer.place([shirts(item, 1_500)], pay_with="points", wait_s=20)
    await heard(stage, order)
    row = desk.page.locator(f"#item-{item}")
    await expect(row).to_contain_text(f"₩{order.total:,}")
    today = datetime.now(UTC).date()
    sold = (await ask(stage, "/stats/sales", bucket="day", **{"from": str(today)}))["items"]
    await desk.open_live("sales?span=month&period=day&by=quantity")
    latest = desk.page.locator("tr[id^=bucket-]").first
    await expect(latest).to_contain_text(f"{sold[-1]['orders']:,}")
    await expect(latest).to_contain_text(f"₩{sold[-1]['revenue']:,}")
    best = (await ask(stage, "/items/popular", period="day", by="quantity", limit=20))["items"]
    assert await desk.ids("tr[id^=item-]", "item-") == [str(one["item_id"]) for one in best]
    await desk.photograph("sales")


async def test_the_keyboard_is_enough(desk: Desk) -> None:
    await desk.open_live("services")
    page = desk.page
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    for name in ("Orders", "Dead letters"):
        link = page.get_by_role("link", name=name, exact=True)
        assert await link.get_attribute("accesskey")
    await page.get_by_role("link", name="Sales").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/sales")
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    for _ in range(4):
        await page.keyboard.press("Tab")
        assert await page.evaluate(ring) == "solid"


async def test_a_page_without_its_script_is_a_page(chromium: Browser, shop: Layout, stage: Stage) -> None:
    context = await chromium.new_context(viewport=WIDE, java_script_enabled=False)
    try:
        desk = Desk(shop.gateway_url, await context.new_page())
        await desk.sign_in()
        await desk.page.get_by_label("Status").select_option("CANCEL")
        await desk.page.get_by_role("button", name="Show").click()
        await desk.page.wait_for_url("**status=CANCEL*")
        found = await desk.ids("tr[id^=order-]", "order-")
        assert found == [
            one["id"] for one in (await ask(stage, "/orders", status="CANCEL", limit=50))["items"]
        ]
        await desk.page.get_by_role("button", name="Sign out").click()
        await desk.page.wait_for_url("**/console/sign-in")
    finally:
        await context.close()
