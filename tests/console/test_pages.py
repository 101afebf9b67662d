"""The console's pages as text, with invented services behind them."""

import re
from typing import Any, cast

import httpx
import pytest

from gateway.console import pages
from order_svc.contracts import GetOrder, ListOverdue, Missing, OverdueOrder, OverduePage
from query_svc.contracts import (
    FindOrders,
    GetEvent,
    GetLag,
    GetOrderFacts,
    GetTimeline,
    Lag,
    ListEvents,
    OrderFacts,
    OrderLine,
    OrderRows,
    StoredEvents,
    Waiting,
)
from query_svc.dead_letters.contracts import Acted, DiscardDeadLetters, RedriveDeadLetters
from shared.errors import NotFound
from tests.console.conftest import Console
from tests.console.samples import BEGIN, ORDER, at, event, order, row, step, timeline
from tests.console.streams import listening
from tests.gateway.fakes import FakeRpc, Signer, gateway
from tests.support.waiting import eventually

ONE = f"/console/orders/{ORDER}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams look again at once."""
    monkeypatch.setattr(pages, "LOOK_AGAIN_S", 0.02)


@pytest.fixture(autouse=True)
def forgetful(console: Console) -> None:
    """Apps are shared between tests, what they remember is not."""
    console.app.state.pop("console_memory", None)


@pytest.fixture
def known(rpc: FakeRpc) -> None:
    """One order that all services know."""
    rpc.answers[FindOrders] = lambda _: OrderRows(items=[row()], next=None)
    rpc.answers[GetOrder] = lambda _: order()
    rpc.answers[GetTimeline] = lambda _: timeline(step("order", 0, 0), step("item", 0, 1))
    rpc.answers[ListEvents] = lambda _: StoredEvents(items=[event(1)], next=None)


def found(calls: list[Any], kind: type[Any]) -> Any:
    """The last call of a kind."""
    return [call for call in calls if isinstance(call, kind)][-1]


# The list of orders ----------------------------------------------------------------------------------------


async def test_the_list_shows_what_was_found_and_leads_on(operator: Console, rpc: FakeRpc) -> None:
    rows = [row(0), row(1, status="FAIL", settled=False, reason="out_of_stock", paid=True)]
    rpc.answers[FindOrders] = lambda _: OrderRows(items=rows, next=rows[-1].order_id)
    rpc.answers[GetLag] = lambda _: Lag(
        position=9, folded=9, last_event_at=BEGIN, last_stored_at=BEGIN, orders=1234, unsettled=1
    )
    page = (await operator.get("/console/orders?status=FAIL")).text
    assert re.findall(r'<tr id="order-([^"]+)"', page) == [str(one.order_id) for one in rows]
    for part in ("↩ compensating", "out of stock", "₩49,800", "✓ paid", "1,234 orders known, 1 under way"):
        assert part in page
    assert f'href="/console/orders?status=FAIL&amp;after={rows[-1].order_id}"' in page


async def test_filters_in_the_address_are_what_is_asked_for(operator: Console, rpc: FakeRpc) -> None:
    rpc.answers[FindOrders] = lambda _: OrderRows(items=[], next=None)
    query = "?q=%20ab%20&status=CANCEL&settled=no&from=2026-01-31T12:00&to=&after=" + str(ORDER)
    page = await operator.get("/console/orders" + query)
    assert "No order matches." in page.text
    call = found(rpc.calls, FindOrders)
    assert (call.text, call.status, call.settled, call.since, call.until) == (
        "ab",
        "CANCEL",
        False,
        BEGIN,
        None,
    )
    assert (call.after, call.buyer_id) == (ORDER, None)
    await operator.get("/console/orders?q=42")
    call = found(rpc.calls, FindOrders)
    assert (call.buyer_id, call.text) == (42, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=MAYBE", "Expected one of: PENDING, COMPLETED, FAIL, CANCEL"),
        ("settled=1", "Expected one of: yes, no"),
        ("after=7", "Expected an id, such as"),
        ("from=yesterday", "Expected a time, such as 2026-01-31T12:00, or a date"),
        ("to=0001-01-01", "Expected a time"),
        ("q=" + "x" * 256, "Expected at most 255 characters"),
    ],
)
async def test_an_address_that_cannot_be_read_says_what_is_allowed(
    operator: Console, query: str, expected: str
) -> None:
    answer = await operator.get(f"/console/orders?{query}")
    assert answer.status_code == 400
    assert expected in answer.text
    assert f"<code>{query.partition('=')[0]}</code>" in answer.text


async def test_what_others_wrote_is_shown_and_never_run(operator: Console, rpc: FakeRpc, known: None) -> None:
    rpc.answers[FindOrders] = lambda _: OrderRows(items=[row(reason="<script>x</script>")], next=None)
    page = await operator.get("/console/orders?q=%22%3E%3Cscript%3Ey%3C/script%3E")
    assert "<script>x" not in page.text
    assert "<script>y" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert "style=" not in page.text
    assert not re.search(r"\son\w+=", page.text)


# One order -------------------------------------------------------------------------------------------------


async def test_an_order_is_shown_with_its_way_and_its_messages(
    operator: Console, rpc: FakeRpc, known: None
) -> None:
    back = step("item", 2, 3, backwards=True, attempts=3, reason="out_of_stock")
    rpc.answers[GetTimeline] = lambda _: timeline(
        step("order", 0, 0), step("item", 0, 1), step("payment", 0, 1, outcome="refused"), back
    )
    page = (await operator.get(ONE)).text
    assert page.count('class="lane ') == 4
    for part in (
        "⟳ 3 attempts",
        "out of stock",
        "↩ compensated",
        "✕ refused",
        'class="arrow"',
        'href="/console/messages/message-1"',
    ):
        assert part in page


async def test_an_order_says_what_it_waits_for(operator: Console, rpc: FakeRpc, known: None) -> None:
    rpc.answers[GetTimeline] = lambda _: timeline(
        step("item", 0, 1),
        step("payment", 0, None),
        waiting_for=[Waiting(service="payment", step="take payment", since=at(0))],
        complete=False,
    )
    page = (await operator.get(ONE)).text
    assert "Waiting for payment:</b> take payment, for <time data-since" in page
    assert 'class="waiting"' in page
    assert "Some of its messages have not been received yet" in page


async def test_two_thousand_lines_are_paged(operator: Console, rpc: FakeRpc, known: None) -> None:
    rpc.answers[GetOrder] = lambda _: order(lines=2000)
    page = (await operator.get(ONE)).text
    assert page.count("<td>Shirt ") == 50
    assert len(page) < 60_000
    assert "₩99,600,000" in page
    assert f'href="{ONE}?lines=2"' in page
    last = (await operator.get(f"{ONE}?lines=40")).text
    assert "Shirt 2000 " in last
    assert "lines=41" not in last


async def test_without_the_order_service_the_events_tell(
    operator: Console, rpc: FakeRpc, known: None
) -> None:
    del rpc.answers[GetOrder]
    line = OrderLine(item_id=7, name=None, quantity=2, unit_price=10, discounted_price=9, user_coupon_ids=[3])
    facts = OrderFacts(order=row(), reason_details=None, payment_id=None, participants=["item"], lines=[line])
    rpc.answers[GetOrderFacts] = lambda _: facts
    page = (await operator.get(ONE)).text
    assert "The order service is down." in page
    assert "₩18" in page
    assert "Cancel the order" not in page


async def test_without_the_read_side_the_facts_are_there(
    operator: Console, rpc: FakeRpc, known: None
) -> None:
    del rpc.answers[GetTimeline], rpc.answers[ListEvents]
    page = await operator.get(ONE)
    assert page.status_code == 200
    assert "⚠ No timeline." in page.text
    assert "query is away" in page.text


async def test_an_order_that_is_not_there_is_a_page_that_says_so(operator: Console, rpc: FakeRpc) -> None:
    def nothing(_: GetOrder) -> Any:
        raise NotFound("There is no such order.")

    rpc.answers[GetOrder] = nothing
    for address in (ONE, "/console/orders/7", "/console/nowhere", "/console/a/b/c"):
        answer = await operator.get(address)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


async def test_without_the_read_side_the_list_says_when_to_try_again(operator: Console) -> None:
    answer = await operator.get("/console/orders?status=FAIL")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "query is away" in answer.text
    assert 'href="/console/orders?status=FAIL">Try again' in answer.text


async def test_a_long_message_is_cut_and_says_so(operator: Console, rpc: FakeRpc) -> None:
    rpc.answers[GetEvent] = lambda _: event(8, {"lines": ["<b>"] * 30_000})
    page = (await operator.get("/console/messages/message-8")).text
    assert "more characters are left out" in page
    assert "./just export --since 7 --limit 1" in page
    assert "<b>&" not in page.replace("&lt;b&gt;", "")
    assert len(page) < 400_000


# Overdue orders and dead letters ---------------------------------------------------------------------------


async def test_an_overdue_order_names_what_is_missing(operator: Console, rpc: FakeRpc) -> None:
    late = OverdueOrder(
        id=ORDER,
        buyer_id=2,
        status="PENDING",
        reason=None,
        created_at=BEGIN,
        due_at=BEGIN,
        overdue_seconds=7,
        missing=[Missing(waits_for="answer", of="coupon", since=BEGIN)],
    )
    rpc.answers[ListOverdue] = lambda _: OverduePage(items=[late], next=None)
    page = (await operator.get("/console/overdue")).text
    assert re.search(r'the answer of <span class="svc svc-coupon">coupon</span>', page)
    assert f'action="{ONE}/cancel"' in page


@pytest.fixture
def acted(rpc: FakeRpc) -> list[Any]:
    """What was done about dead letters."""
    calls: list[Any] = []

    def act(call: Any) -> Acted:
        calls.append(call)
        return Acted(changed=1, unchanged=1)

    rpc.answers[RedriveDeadLetters] = rpc.answers[DiscardDeadLetters] = act
    return calls


async def send(operator: Console, action: str, fields: dict[str, Any]) -> httpx.Response:
    """A form about dead letters, with what all forms carry."""
    carried = {"form_token": operator.form_token, "request_id": str(ORDER)}
    return await operator.post(f"/console/dead-letters/{action}", data={**carried, **fields})


async def test_chosen_letters_or_a_group_are_sent_back(operator: Console, acted: list[Any]) -> None:
    back = "/console/dead-letters/groups/0123456789abcdef"
    answer = await send(operator, "redrive", {"ids": ["3", "4"], "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    answer = await send(operator, "redrive", {"group": "0123456789abcdef", "back": "https://evil.test"})
    assert answer.headers["location"] == "/console/dead-letters"
    assert acted == [
        RedriveDeadLetters(request_id=ORDER, by=1, ids=[3, 4]),
        RedriveDeadLetters(request_id=ORDER, by=1, group="0123456789abcdef"),
    ]


@pytest.mark.parametrize(
    ("action", "fields", "status"),
    [
        ("redrive", {}, 422),
        ("redrive", {"ids": "x"}, 400),
        ("redrive", {"ids": "1", "request_id": "again"}, 400),
        ("redrive", {"ids": [str(n) for n in range(1001)]}, 400),
        ("discard", {"ids": "1"}, 422),
        ("discard", {"ids": "1", "reason": " no "}, 422),
        ("discard", {"ids": "1", "reason": "x" * 501}, 422),
        ("discard", {"reason": "because"}, 422),
    ],
)
async def test_what_does_not_say_what_to_do_does_nothing(
    operator: Console, acted: list[Any], action: str, fields: dict[str, Any], status: int
) -> None:
    assert (await send(operator, action, fields)).status_code == status
    assert acted == []


async def test_a_discard_says_why(operator: Console, acted: list[Any]) -> None:
    assert (await send(operator, "discard", {"ids": "5", "reason": " a test "})).status_code == 303
    assert acted == [DiscardDeadLetters(request_id=ORDER, by=1, reason="a test", ids=[5])]


# Life ------------------------------------------------------------------------------------------------------


async def version(operator: Console, address: str) -> str:
    """The fingerprint of a page as it is now."""
    page = (await operator.get(address)).text
    return re.findall(r'data-version="(\w+)"', page)[0]


async def test_a_page_sends_itself_when_its_facts_have_changed(
    operator: Console, rpc: FakeRpc, known: None
) -> None:
    seen = await version(operator, "/console/orders")
    address = f"/console/orders?version={seen}"
    async with listening(operator.app, address, operator.cookies) as stream:
        looks = len(rpc.calls)

        async def looked() -> int:
            return len(rpc.calls) - looks

        await eventually(looked, holds=lambda more: more > 6)
        rpc.answers[FindOrders] = lambda _: OrderRows(items=[row(status="FAIL")], next=None)
        frame = await stream.next()
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert (frame.event, frame.id) == ("page", await version(operator, "/console/orders"))
        assert frame.id != seen
        assert "✕ failed" in frame.data
        assert "<html" not in frame.data
        assert "version=" not in frame.data


async def test_another_process_goes_on_where_one_left_off(
    operator: Console, rpc: FakeRpc, known: None, signer: Signer
) -> None:
    seen = await version(operator, "/console/orders")
    other = cast(Any, gateway(rpc, signer, settle_poll_s=0.07))
    async with listening(
        other, "/console/orders?version=older", operator.cookies, last_event_id=seen
    ) as stream:
        rpc.answers[FindOrders] = lambda _: OrderRows(items=[], next=None)
        assert "No order has been placed yet." in (await stream.next()).data


async def test_a_stream_outlives_a_service_that_is_away(operator: Console, rpc: FakeRpc, known: None) -> None:
    answer = rpc.answers.pop(FindOrders)
    async with listening(operator.app, "/console/orders", operator.cookies) as stream:
        away = await stream.next()
        assert (away.event, away.data) == ("away", "query is away")
        rpc.answers[FindOrders] = answer
        assert (await stream.next()).event == "page"


async def test_a_stream_is_not_for_everybody(console: Console) -> None:
    answer = await console.get("/console/orders", headers={"Accept": "text/event-stream"})
    assert answer.status_code == 401


# The rest --------------------------------------------------------------------------------------------------


async def test_style_script_and_icon_are_open_and_kept(console: Console) -> None:
    page = (await console.get("/console/sign-in")).text
    assets = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page)
    assert {one.partition("?")[0].rpartition(".")[2] for one in assets} == {"css", "js", "svg"}
    for one in assets:
        answer = await console.get(one)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await console.get("/console/static/../routes.py")).status_code in (303, 404)
    assert (await console.get("/console/static/x.css")).status_code == 404


async def test_the_console_begins_with_the_orders(operator: Console) -> None:
    answer = await operator.get("/console")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/orders")


async def test_style_and_script_stay_small() -> None:
    static = pages.HERE / "static"
    assert len((static / "console.css").read_text("utf-8").splitlines()) <= 300
    assert len((static / "console.js").read_text("utf-8").splitlines()) < 200
