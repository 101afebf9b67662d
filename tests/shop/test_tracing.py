"""What docs/tracing.md tells a person to do in the management UI, done over the API behind it."""

import httpx
import msgspec
import pytest

from deploy.local.layout import Layout
from ops.demo.stage import Stage, shirts
from tests.support.waiting import eventually

LOOK = "look"
EXCHANGES = ("order.events", "item.events", "coupon.events", "payment.events")


@pytest.mark.usefixtures("management")
async def test_an_order_s_messages_are_found_with_the_management_ui_alone(shop: Layout, stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt()
    async with httpx.AsyncClient(base_url=f"{shop.management_url}/api/", trust_env=False) as api:
        # Queues, "Add a new queue"; then its page, "Add binding to this queue", once for each exchange.
        (await api.put(f"queues/%2F/{LOOK}", json={"durable": False})).raise_for_status()
        try:
            for exchange in EXCHANGES:
                path = f"bindings/%2F/e/{exchange}/q/{LOOK}"
                (await api.post(path, json={"routing_key": "#"})).raise_for_status()
            order = await buyer.place([shirts(item)], wait_s=20)

            # "Get messages", as many as there are.
            async def get() -> list[dict[str, object]]:
                asked = {"count": 100, "ackmode": "ack_requeue_true", "encoding": "auto"}
                return (await api.post(f"queues/%2F/{LOOK}/get", json=asked)).raise_for_status().json()

            def types(found: list[dict[str, object]]) -> set[object]:
                told = msgspec.convert(found, list[_Message])
                return {one.properties.get("type") for one in told if one.is_about(order.id)}

            expected = {"order.placed", "item.stock_reserved", "order.completed"}
            found = await eventually(get, holds=lambda seen: expected <= types(seen))
            for message in msgspec.convert(found, list[_Message]):
                if message.is_about(order.id):
                    [event] = msgspec.json.decode(message.payload)
                    assert event["correlationid"] == order.id
                    assert event["type"] == message.routing_key == message.properties["type"]
                    assert message.properties["app_id"] == f"{event['type'].partition('.')[0]}-svc"
        finally:
            await api.delete(f"queues/%2F/{LOOK}")


class _Message(msgspec.Struct):
    """A message as the UI shows it."""

    routing_key: str
    payload: str
    payload_encoding: str
    properties: dict[str, object]

    def is_about(self, order_id: str) -> bool:
        return self.properties.get("correlation_id") == order_id
