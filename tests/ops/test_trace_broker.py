"""`trace-broker` on the suite's own broker: what goes through it is shown, and tracing is off afterwards."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest

from deploy.local.layout import Layout, layout
from ops import trace_broker
from ops.trace_broker import Seen, firehose, wanted
from shared.clock import utc_now
from tests.support.waiting import eventually


async def _is_tracing(at: Layout) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{at.management_url}/api/vhosts/%2F")
        return answer.raise_for_status().json()["tracing"]


async def _say(at: Layout, *bodies: bytes, **properties: Any) -> None:
    connection = await aio_pika.connect(at.amqp_url)
    async with connection, connection.channel() as channel:
        exchange = await channel.declare_exchange("tracetest.events", "topic", auto_delete=True)
        queue = await channel.declare_queue("tracetest.heard", exclusive=True)
        await queue.bind(exchange, routing_key="#")
        for body in bodies:
            await exchange.publish(aio_pika.Message(body, **properties), routing_key="tracetest.told")
            await eventually(lambda: queue.get(no_ack=True, fail=False))


@pytest.mark.usefixtures("management")
async def test_messages_are_seen_published_and_delivered_while_it_runs(servers: Layout) -> None:
    async with firehose(servers) as messages:
        assert await _is_tracing(servers)
        await _say(servers, b'[{"a":1}]', type="tracetest.told", app_id="t-svc", correlation_id="o1")
        seen: dict[str, Seen] = {}
        async with asyncio.timeout(10):
            while len(seen) < 2:
                one = await messages.get()
                if one.type == "tracetest.told":
                    seen[one.step] = one
    published, delivered = seen["published"], seen["delivered"]
    assert (published.place, published.key) == ("tracetest.events", "tracetest.told")
    assert (published.app_id, published.correlation_id) == ("t-svc", "o1")
    assert published.body == '[{"a":1}]'
    assert delivered.place == "tracetest.heard"
    assert not await _is_tracing(servers)


@pytest.mark.usefixtures("management")
async def test_one_who_ends_leaves_tracing_on_for_the_other(servers: Layout) -> None:
    async with firehose(servers):
        async with _in_another_process(servers) as process:
            await eventually(lambda: _listeners(servers), holds=lambda count: count == 2)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        assert await _is_tracing(servers)
    assert not await _is_tracing(servers)


@pytest.mark.usefixtures("management")
async def test_the_command_prints_what_fits_and_switches_off_on_ctrl_c(servers: Layout) -> None:
    async with _in_another_process(servers, "--json", "--event", "tracetest.*", "--order", "o2") as process:
        await eventually(lambda: _is_tracing(servers))
        await _say(servers, b"[1]", type="tracetest.told", correlation_id="o1")
        await _say(servers, b"\xff[2]", type="tracetest.told", correlation_id="o2")
        assert process.stdout is not None
        lines = [json.loads(await asyncio.wait_for(process.stdout.readline(), 10)) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert {(line["step"], line["correlation_id"]) for line in lines} == {
        ("published", "o2"),
        ("delivered", "o2"),
    }
    assert not await _is_tracing(servers)


class _in_another_process:
    """The command in a process of its own, ended if the test does not end it."""

    def __init__(self, _: Layout, *words: str) -> None:
        self._words = words

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ops.trace_broker",
            *self._words,
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        return self._process

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def _listeners(at: Layout) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        path = f"{at.management_url}/api/exchanges/%2F/{trace_broker.FIREHOSE}/bindings/source"
        found = (await client.get(path)).raise_for_status().json()
    return len({one["destination"] for one in found})


def _seen(**changes: Any) -> Seen:
    values: dict[str, Any] = {
        "at": utc_now(),
        "step": "published",
        "place": "order.events",
        "key": "order.placed",
        "type": "order.placed",
        "app_id": "order-svc",
        "correlation_id": "o1",
        "message_id": "m1",
        "body": "[]",
    }
    return Seen(**(values | changes))


@pytest.mark.parametrize(
    ("order", "event", "calls", "one", "fits"),
    [
        (None, None, False, _seen(), True),
        ("o1", None, False, _seen(), True),
        ("o2", None, False, _seen(), False),
        ("o2", None, False, _seen(correlation_id=None, body='[{"subject":"o2"}]'), True),
        (None, "order.*", False, _seen(), True),
        (None, "order.placed", False, _seen(type=None), True),
        (None, "item.*", False, _seen(), False),
        (None, None, False, _seen(place="rpc", key="order"), False),
        (None, None, False, _seen(place="rpc.order", step="delivered"), False),
        (None, None, False, _seen(place="(default exchange)", key="rpc.reply.x"), False),
        (None, None, True, _seen(place="rpc", key="order"), True),
    ],
)
def test_what_fits_is_shown(order: str | None, event: str | None, calls: bool, one: Seen, fits: bool) -> None:
    assert wanted(order, event, calls=calls)(one) is fits


@pytest.mark.parametrize("words", [["--count", "0"], ["--seconds", "x"], ["stray"]])
def test_wrong_arguments_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        trace_broker.main(words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_without_a_management_api_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = layout({"SHOP_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/"})
    monkeypatch.setattr(trace_broker, "current_layout", lambda: elsewhere)
    assert trace_broker.main([]) == 2
    assert "SHOP_MANAGEMENT_URL" in capsys.readouterr().err
