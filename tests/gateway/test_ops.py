"""What operators see and do over HTTP, with invented services behind the gateway."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest

from deploy.local.layout import Layout
from gateway.operators.directory import Known
from gateway.operators.flow import flow
from gateway.operators.management import Bound, Queue, Standing
from gateway.operators.orphans import orphans
from order_svc.contracts import ListOverdue, Missing, OverdueOrder, OverduePage
from query_svc.dead_letters.contracts import (
    Acted,
    AuditEntry,
    CountDeadLetters,
    DeadCount,
    DeadCounts,
    DeadLetterDetails,
    DeadLetterGroupPage,
    DeadLetterPage,
    DiscardDeadLetters,
    GetDeadLetter,
    ListDeadLetterGroups,
    ListDeadLetters,
    RecordAction,
    RedriveDeadLetters,
)
from shared.clock import utc_now
from shared.events.outbox import OutboxStatus
from shared.service.describe import (
    ParkedMessage,
    ParkedPage,
    SentAgain,
    describe_call,
    outbox_call,
    parked_call,
    publish_outbox_call,
    registrations,
    send_parked_call,
)
from tests.contracts.house import SERVICES
from tests.gateway.fakes import FakeRpc, described
from tests.support.waiting import eventually

READS = (
    "/ops/services",
    "/ops/queues",
    "/ops/orphans",
    "/ops/outbox/order/parked",
    "/ops/flow",
    "/ops/outbox",
    "/ops/orders/overdue",
    "/ops/dead-letters/groups",
    "/ops/dead-letters",
    "/ops/dead-letters/1",
    "/ops/audit",
    "/ops/payments",
)
ACTS = (
    "/ops/outbox/order/publish",
    "/ops/outbox/order/parked/send",
    "/ops/dead-letters/1/redrive",
    "/ops/dead-letters/1/discard",
    "/ops/dead-letters/redrive",
    "/ops/dead-letters/discard",
    "/ops/payments/01890a5d-ac96-774b-bcce-b302099a8057/resolve",
)
GROUP = "0123456789abcdef"


def letter(**changes: Any) -> DeadLetterDetails:
    """A dead letter as the query service tells of it."""
    values: dict[str, Any] = dict.fromkeys(DeadLetterDetails.__struct_fields__) | {
        "id": 1,
        "group": GROUP,
        "state": "DEAD",
        "queue": "item.order.placed",
        "service": "item",
        "exception": "ValueError",
        "message": "no",
        "attempts": 4,
        "failed_redrives": 0,
        "seen_at": utc_now(),
        "changed_at": utc_now(),
        "body": "[]",
        "encoding": "text",
        "headers": {},
        "properties": {},
        "actions": [],
    }
    return DeadLetterDetails(**(values | changes))


def status(service: str, **changes: Any) -> OutboxStatus:
    """An outbox as its service tells of it."""
    values = {"pending": 3, "leased": 1, "oldest_seconds": 12.5, "most_attempts": 2, "connected": True}
    return OutboxStatus(service=service, **(values | changes))


@pytest.fixture
def house(rpc: FakeRpc) -> FakeRpc:
    """Services that describe themselves."""
    rpc.services = [name for name, service in SERVICES.items() if service.answers]
    for name in rpc.services:
        rpc.answers[describe_call(name)] = lambda _, name=name: described(SERVICES[name])
    return rpc


@pytest.mark.parametrize("path", READS)
async def test_only_admins_look(client: httpx.AsyncClient, buyer: dict[str, str], path: str) -> None:
    assert (await client.get(path)).status_code == 401
    refused = await client.get(path, headers=buyer)
    assert (refused.status_code, refused.json()["title"]) == (403, "Not allowed")


@pytest.mark.parametrize("path", ACTS)
async def test_only_admins_act(
    client: httpx.AsyncClient, rpc: FakeRpc, buyer: dict[str, str], path: str
) -> None:
    assert (await client.post(path, json={})).status_code == 401
    assert (await client.post(path, json={}, headers=buyer)).status_code == 403
    assert {type(call).__name__ for call in rpc.calls} == {"GetKeys"}


async def test_services_are_shown_with_replicas_and_what_they_are_made_of(
    client: httpx.AsyncClient, house: FakeRpc, admin: dict[str, str]
) -> None:
    del house.answers[describe_call("coupon")]
    cards = {
        one["service"]: one for one in (await client.get("/ops/services", headers=admin)).json()["items"]
    }
    assert set(cards) == {*house.services, "gateway"}
    item = cards["item"]
    assert (item["present"], item["ready"], item["version"]) == (True, True, "1.0.0")
    assert [one["name"] for one in item["replicas"]] == ["item-svc#1"]
    assert "item.stock_reserved" in item["publishes"]
    assert {"event": "order.placed", "queue": "item.order.placed"}.items() <= item["hears"][0].items()
    assert "item.get_many" in item["answers"]
    coupon = cards["coupon"]
    assert (coupon["present"], coupon["ready"], coupon["replicas"], coupon["hears"]) == (False, False, [], [])
    assert {one["queue"] for one in cards["gateway"]["hears"]} == {None}


async def test_outboxes_are_shown_also_while_a_service_is_away(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.services = ["order", "item"]
    rpc.answers[outbox_call("order")] = lambda _: status("order")
    items = (await client.get("/ops/outbox", headers=admin)).json()["items"]
    assert [(one["service"], one["present"]) for one in items] == [("item", False), ("order", True)]
    assert (items[1]["status"]["pending"], items[1]["status"]["oldest_seconds"]) == (3, 12.5)


async def test_publishing_an_outbox_is_written_down_before_it_is_done(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.services = ["order"]
    rpc.answers[publish_outbox_call("order")] = lambda _: status("order", pending=0)
    away = await client.post("/ops/outbox/order/publish", headers=admin)
    assert (away.status_code, "retry-after" in away.headers) == (503, True)
    assert not any(isinstance(call, publish_outbox_call("order")) for call in rpc.calls)
    rpc.answers[RecordAction] = lambda call: AuditEntry(
        id=1, at=utc_now(), by=call.by, action=call.action, target=call.target, affected=0, reason=None
    )
    done = await client.post("/ops/outbox/order/publish", headers=admin)
    assert (done.status_code, done.json()["pending"]) == (200, 0)
    noted = next(call for call in rpc.calls[-2:] if isinstance(call, RecordAction))
    assert (noted.by, noted.action, noted.target) == (1, "publish outbox", "outbox of order")
    unknown = await client.post("/ops/outbox/nobody/publish", headers=admin)
    assert (unknown.status_code, "there are: order" in unknown.json()["detail"]) == (404, True)


async def test_overdue_orders_name_what_is_missing(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    overdue = OverdueOrder(
        id=UUID(int=1),
        buyer_id=2,
        status="PENDING",
        reason=None,
        created_at=utc_now(),
        due_at=utc_now(),
        overdue_seconds=3.5,
        missing=[Missing(waits_for="answer", of="coupon", since=utc_now())],
    )
    rpc.answers[ListOverdue] = lambda call: OverduePage(items=[overdue], next=call.after)
    page = (await client.get("/ops/orders/overdue?limit=5", headers=admin)).json()
    assert [(one["waits_for"], one["of"]) for one in page["items"][0]["missing"]] == [("answer", "coupon")]
    assert rpc.calls[-1] == ListOverdue(limit=5)


async def test_dead_letters_are_looked_at(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.answers |= {
        ListDeadLetterGroups: lambda _: DeadLetterGroupPage(items=[], next=None),
        ListDeadLetters: lambda _: DeadLetterPage(items=[], next=None),
        GetDeadLetter: lambda call: letter(id=call.id),
    }
    for path, call in (
        (
            "/ops/dead-letters/groups?all=true&limit=3&after=9",
            ListDeadLetterGroups(all=True, limit=3, after=9),
        ),
        (
            f"/ops/dead-letters?group={GROUP}&state=DEAD&queue=a.b&correlation_id=o1&after=4",
            ListDeadLetters(group=GROUP, state="DEAD", queue="a.b", correlation_id="o1", after=4),
        ),
        ("/ops/dead-letters/7", GetDeadLetter(id=7)),
    ):
        assert (await client.get(path, headers=admin)).status_code == 200, path
        assert rpc.calls[-1] == call


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/ops/dead-letters?state=dead", 400, "state"),
        ("/ops/dead-letters?group=xyz", 400, "group"),
        ("/ops/dead-letters?limit=101", 400, "limit"),
        ("/ops/dead-letters?after=x", 400, "after"),
        ("/ops/dead-letters/groups?all=perhaps", 400, "all"),
        ("/ops/orders/overdue?after=1", 400, "after"),
        ("/ops/dead-letters/x", 404, None),
        ("/ops/dead-letters/0", 404, None),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(
    client: httpx.AsyncClient, admin: dict[str, str], path: str, status: int, field: str | None
) -> None:
    answer = await client.get(path, headers=admin)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if field:
        assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_one_is_sent_back_and_the_answer_shows_it(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.answers[RedriveDeadLetters] = lambda _: Acted(changed=1, unchanged=0)
    rpc.answers[GetDeadLetter] = lambda _: letter(state="REDRIVING")
    answer = await client.post("/ops/dead-letters/1/redrive", headers=admin)
    assert (answer.status_code, answer.json()["state"]) == (202, "REDRIVING")
    asked = next(call for call in rpc.calls if isinstance(call, RedriveDeadLetters))
    assert (asked.ids, asked.group, asked.by) == ([1], None, 1)
    rpc.answers[GetDeadLetter] = lambda _: letter(state="DISCARDED", changed_by=8, reason="junk")
    refused = await client.post("/ops/dead-letters/1/redrive", headers=admin)
    assert (refused.status_code, "junk" in refused.json()["detail"]) == (409, True)


async def test_one_is_given_up_for_a_reason(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.answers[DiscardDeadLetters] = lambda _: Acted(changed=1, unchanged=0)
    rpc.answers[GetDeadLetter] = lambda _: letter(state="DISCARDED")
    path = "/ops/dead-letters/1/discard"
    for body, field in (({}, "reason"), ({"reason": "x"}, "reason"), ({"reason": 5}, "reason")):
        refused = await client.post(path, json=body, headers=admin)
        assert refused.status_code in (400, 422)
        assert refused.json()["errors"][0]["field"] == field
    assert (await client.post(path, json={"reason": "junk"}, headers=admin)).status_code == 200
    rpc.answers[GetDeadLetter] = lambda _: letter(state="REDRIVEN")
    assert (await client.post(path, json={"reason": "junk"}, headers=admin)).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": [1, 2]}, 202),
        ({"group": GROUP}, 202),
        ({"all": True}, 202),
        ({}, 422),
        ({"ids": [1], "all": True}, 422),
        ({"ids": []}, 422),
        ({"ids": [0]}, 422),
        ({"ids": ["1"]}, 400),
        ({"group": "x"}, 422),
        ({"all": False}, 422),
    ],
    ids=str,
)
async def test_a_selection_is_exactly_one_of_three(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str], body: dict[str, Any], status: int
) -> None:
    rpc.answers[RedriveDeadLetters] = lambda _: Acted(changed=2, unchanged=0)
    answer = await client.post("/ops/dead-letters/redrive", json=body, headers=admin)
    assert answer.status_code == status, answer.text
    asked = [call for call in rpc.calls if isinstance(call, RedriveDeadLetters)]
    if status == 202:
        assert [(call.ids, call.group) for call in asked] == [(body.get("ids"), body.get("group"))]
    else:
        assert asked == []


# The map ---------------------------------------------------------------------------------------------------


def _queue(name: str, **changes: Any) -> Queue:
    values: dict[str, Any] = {"ready": 0, "unacknowledged": 0, "consumers": 1} | dict.fromkeys(
        ("publish_rate", "deliver_rate", "acknowledge_rate"), 0.0
    )
    return Queue(name=name, **(values | changes))


def _known(name: str) -> Known:
    return Known(service=name, present=True, seen_at=utc_now(), registrations=registrations(SERVICES[name]))


def test_the_map_shows_what_waits_on_every_edge() -> None:
    queues = [
        _queue("item.order.placed", ready=5, deliver_rate=2.5),
        _queue("item.order.placed.dead", ready=2),
    ]
    drawn = flow([_known("order"), _known("item")], queues, {"item.order.placed": 3})
    [edge] = [one for one in drawn.edges if one.queue == "item.order.placed"]
    assert (edge.publisher, edge.consumer, edge.event) == ("order", "item", "order.placed")
    assert (edge.ready, edge.deliver_rate, edge.dead) == (5, 2.5, 5)
    assert {node.service for node in drawn.nodes} == {"order", "item"}


def test_the_map_is_drawn_without_figures_too() -> None:
    drawn = flow([_known("item"), _known("gateway"), _known("query")], None, None)
    assert (drawn.queues_known, drawn.dead_known) == (False, False)
    assert all(edge.ready is None and edge.dead is None for edge in drawn.edges)
    assert [edge.queue for edge in drawn.edges if edge.consumer == "gateway"] == [None] * 9
    everything = [edge for edge in drawn.edges if edge.consumer == "query"]
    assert ("order.#", "query.order") in [(edge.event, edge.queue) for edge in everything]


async def test_the_map_over_http_tells_what_it_does_not_know(
    client: httpx.AsyncClient, house: FakeRpc, admin: dict[str, str]
) -> None:
    house.answers[CountDeadLetters] = lambda _: DeadCounts(
        queues=[DeadCount(queue="item.order.placed", dead=4)]
    )
    drawn = (await client.get("/ops/flow", headers=admin)).json()
    assert (drawn["queues_known"], drawn["dead_known"]) == (False, True)
    [edge] = [one for one in drawn["edges"] if one["queue"] == "item.order.placed"]
    assert (edge["dead"], edge["ready"]) == (4, None)


# Parked messages -------------------------------------------------------------------------------------------


def parked(message_id: str) -> ParkedMessage:
    """A message that could not be sent."""
    return ParkedMessage(
        id=message_id,
        type="order.placed",
        count=1,
        subjects="a",
        correlation_id=None,
        size=17_000_000,
        attempts=4,
        created_at=utc_now(),
        parked_at=utc_now(),
        problem="it is too large",
    )


async def test_messages_that_could_not_be_sent_are_listed_and_tried_again(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str]
) -> None:
    rpc.services = ["order"]
    rpc.answers[parked_call("order")] = lambda call: ParkedPage(items=[parked("m1")], next="m1")
    rpc.answers[send_parked_call("order")] = lambda call: SentAgain(sent=len(call.ids or "all"))
    rpc.answers[RecordAction] = lambda call: AuditEntry(
        id=1, at=utc_now(), by=call.by, action=call.action, target=call.target, affected=0, reason=None
    )
    page = (await client.get("/ops/outbox/order/parked?limit=1&after=m0", headers=admin)).json()
    assert ([one["problem"] for one in page["items"]], page["next"]) == (["it is too large"], "m1")
    assert rpc.calls[-1] == parked_call("order")(limit=1, after="m0")
    sent = await client.post("/ops/outbox/order/parked/send", json={"ids": ["m1"]}, headers=admin)
    assert (sent.status_code, sent.json()) == (202, {"sent": 1})
    noted = next(call for call in rpc.calls if isinstance(call, RecordAction))
    assert (noted.action, noted.target) == ("send parked", "outbox of order: m1")
    for body, status in (({}, 422), ({"ids": ["m1"], "all": True}, 422), ({"ids": []}, 422)):
        refused = await client.post("/ops/outbox/order/parked/send", json=body, headers=admin)
        assert refused.status_code == status, body
    unknown = await client.get("/ops/outbox/nobody/parked", headers=admin)
    assert (unknown.status_code, "order" in unknown.json()["detail"]) == (404, True)


# Orphans ---------------------------------------------------------------------------------------------------


def test_what_no_registration_names_is_an_orphan() -> None:
    undescribed = Known(service="order", present=False, seen_at=None, registrations=None)
    queues = [
        Standing(name=name)
        for name in (
            "item.order.placed",
            "item.order.placed.dead",
            "item.order.placed.aside",
            "item.retry.5s",
            "item.order.renamed",
            "item.order.renamed.dead",
            "gone.order.placed",
            "gone.order.placed.dead",
            "order.whatever",
            "a stranger's",
        )
    ]
    queues.append(Standing(name="item#1.tap.order.placed", exclusive=True))
    bindings = [
        Bound(exchange="order.events", queue="item.order.placed", routing_key="order.placed"),
        Bound(exchange="order.events", queue="item.order.placed", routing_key="order.was_placed"),
        Bound(exchange="order.events", queue="gone.order.placed", routing_key="order.placed"),
    ]
    found = orphans([_known("item"), undescribed], queues, bindings)
    assert [(one.kind, one.queue, one.routing_key) for one in found] == [
        ("queue", "gone.order.placed", None),
        ("queue", "gone.order.placed.dead", None),
        ("binding", "item.order.placed", "order.was_placed"),
        ("queue", "item.order.renamed", None),
        ("queue", "item.order.renamed.dead", None),
    ]


# Queues ----------------------------------------------------------------------------------------------------


async def test_without_a_management_api_queues_are_503(
    client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    answer = await client.get("/ops/queues", headers=admin)
    assert (answer.status_code, "SHOP_MANAGEMENT_URL" in answer.json()["detail"]) == (503, True)


class TestWithABroker:
    """Queues of the suite's own broker."""

    @pytest.fixture
    def settings(self, management: Layout) -> dict[str, Any]:
        return {"management_url": str(management.management_url), "amqp_url": management.amqp_url}

    @pytest.fixture
    async def queues(self, servers: Layout) -> AsyncIterator[list[str]]:
        """Three queues, the first with a message in it."""
        connection = await aio_pika.connect(servers.amqp_url)
        async with connection, connection.channel() as channel:
            names = [f"ops-test.{number}" for number in range(3)]
            for name in names:
                await channel.declare_queue(name, exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"x"), routing_key=names[0])
            yield names

    async def test_queues_are_listed_by_name_and_page(
        self, client: httpx.AsyncClient, admin: dict[str, str], queues: list[str]
    ) -> None:
        async def look() -> tuple[list[tuple[str, int]], str | None]:
            page = (await client.get("/ops/queues?after=ops-test.&limit=2", headers=admin)).json()
            return [(one["name"], one["ready"]) for one in page["items"]], page["next"]

        expected = [(queues[0], 1), (queues[1], 0)], queues[1]
        await eventually(look, holds=lambda seen: seen == expected)
        rest = (await client.get(f"/ops/queues?after={queues[1]}&limit=1", headers=admin)).json()
        assert [one["name"] for one in rest["items"]] == queues[2:]

    async def test_orphans_are_removed_by_hand_and_what_holds_messages_only_so(
        self, client: httpx.AsyncClient, house: FakeRpc, admin: dict[str, str], servers: Layout
    ) -> None:
        house.answers[RecordAction] = lambda call: AuditEntry(
            id=1, at=utc_now(), by=call.by, action=call.action, target=call.target, affected=0, reason=None
        )
        queue = f"item.order.{uuid4().hex[:8]}"
        connection = await aio_pika.connect(servers.amqp_url)
        async with connection, connection.channel() as channel:
            exchange = await channel.declare_exchange("order.events", "topic", durable=True)
            declared = await channel.declare_queue(queue, durable=True)
            await declared.bind(exchange, "order.never")
            await channel.default_exchange.publish(aio_pika.Message(b"x"), routing_key=queue)

            async def found() -> list[int]:
                answer = (await client.get("/ops/orphans", headers=admin)).json()
                return [one["messages"] for one in answer["items"] if one["queue"] == queue]

            await eventually(found, holds=lambda messages: messages == [1])

            async def remove(**query: str) -> int:
                params = {"queue": queue, "reason": "it was renamed", **query}
                return (await client.delete("/ops/orphans", params=params, headers=admin)).status_code

            assert await remove() == 409
            assert await remove(with_messages="true") == 204
            assert await remove() == 404
            assert [call.target for call in house.calls if isinstance(call, RecordAction)] == [
                f"queue {queue}"
            ]


class TestWithABrokerThatIsAway:
    """The management API refuses the connection."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"management_url": "http://shop:secret@127.0.0.1:1"}

    async def test_queues_are_503_and_no_password_is_told(
        self, client: httpx.AsyncClient, admin: dict[str, str]
    ) -> None:
        answer = await client.get("/ops/queues", headers=admin)
        assert answer.status_code == 503
        assert "secret" not in answer.text
