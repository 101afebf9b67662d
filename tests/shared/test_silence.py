"""Hung is not dead: a broker or database that does nothing, and what it does when it wakes up."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.database.transaction import Transaction
from shared.errors import OutcomeUnknown, Problem, Unavailable
from shared.messages import Call
from shared.registry import answer
from shared.rpc import Rpc
from shared.service.runtime import Runtime
from shared.service.service import Service
from tests.shared.lab import Lab, is_up, unique
from tests.shared.test_rpc import MODELS, asking, calls_over_http, served
from tests.shared.tiny.contracts import Answered, Contracts, contracts, takes
from tests.support.ports import free_port
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

DEADLINE_S, SHORT_S = 1.2, 0.8
LONG = pytest.mark.long


@asynccontextmanager
async def at_work(lab: Lab, deadline_s: float) -> AsyncIterator[tuple[Contracts, Rpc, Runtime, list[str]]]:
    """A service that answers over the broker and over HTTP, somebody who asks it, and what it has done."""
    name = unique("svc")
    said = contracts(name)
    done: list[str] = []

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        done.append(call.how)
        await asyncio.sleep(call.seconds)
        return Answered(by=name, text=call.how)

    @takes(said.ask_once)
    async def ask_once(call: Any) -> Answered:
        return await ask(call)

    service = Service(name, answers=(answer(ask), answer(ask_once)))
    port = free_port()
    async with (
        lab.running(service, rpc_timeout_s=deadline_s) as runtime,
        served(service, runtime, port),
        asking(
            lab, rpc_timeout_s=deadline_s, peers=f"{name}=http://127.0.0.1:{port}", breaker_threshold=1000
        ) as rpc,
    ):
        yield said, rpc, runtime, done


async def timed(call: Any) -> tuple[Any, float]:
    """What came of a call, and after how many seconds."""
    started = time.monotonic()
    try:
        return await call, time.monotonic() - started
    except Problem as problem:
        return problem, time.monotonic() - started


@pytest.mark.usefixtures("own_broker")
@pytest.mark.parametrize(
    ("deadline_s", "hung_s"),
    [
        pytest.param(DEADLINE_S, 1.3, id="the link lives on"),
        pytest.param(DEADLINE_S, 2.6, id="the link is given up", marks=LONG),
        pytest.param(3.0, 40.0, id="40 s", marks=LONG),
    ],
)
async def test_while_the_broker_hangs_calls_go_over_http_and_nothing_old_is_done_when_it_wakes(
    lab: Lab, deadline_s: float, hung_s: float
) -> None:
    async with at_work(lab, deadline_s) as (said, rpc, runtime, done):
        await eventually(lambda: _answers_over_the_broker(rpc, said))
        async with lab.hung("broker"):
            woken = asyncio.create_task(asyncio.sleep(hung_s))
            read = asyncio.create_task(timed(rpc.call(said.ask(how="read"))))
            risky = asyncio.create_task(timed(rpc.call(said.ask_once(how="risky"))))
            reply, seconds = await read
            assert reply.text == "read"
            assert seconds < deadline_s * 2 / 3
            # From now on the silence is known: what is new goes over HTTP at once, whatever it is.
            for call in (said.ask(how="new"), said.ask_once(how="once")):
                reply, seconds = await timed(rpc.call(call))
                assert reply.text == call.how
                assert seconds < deadline_s / 4
            refused, seconds = await risky
            assert type(refused) is OutcomeUnknown
            assert seconds < deadline_s * 1.1
            await woken
        await eventually(lambda: _is(runtime.links[0].is_up and rpc._channel is not None))
        await eventually(lambda: _answers_over_the_broker(rpc, said))
    assert "risky" not in done  # it lay in the broker's socket when its caller was refused
    assert [done.count(how) for how in ("read", "new", "once")] == [1, 1, 1]


async def test_when_a_service_wakes_up_it_does_nothing_of_what_lay_in_its_socket(lab: Lab, url: str) -> None:
    name = unique("svc")
    said = contracts(name)
    process = await lab.process(name, url, rpc_timeout_s=DEADLINE_S)
    async with asking(
        lab, rpc_timeout_s=DEADLINE_S, peers=f"{name}={process.url}", breaker_threshold=1000
    ) as rpc:
        await eventually(lambda: _answers_over_the_broker(rpc, said))
        async with process.hung():
            refused = await asyncio.gather(
                *(timed(rpc.call(said.put(key=f"late {number}"), timeout=0.5)) for number in range(4))
            )
            await asyncio.sleep(DEADLINE_S)
        assert {type(problem) for problem, _ in refused} == {OutcomeUnknown}
        assert (await rpc.call(said.put(key="after"))).text == "after"  # over HTTP
        await eventually(lambda: _answers_over_the_broker(rpc, said))
    assert await lab.marks(url) == ["after"]


async def test_a_slow_answer_on_a_living_link_is_not_asked_for_twice(lab: Lab) -> None:
    async with at_work(lab, SHORT_S) as (said, rpc, _, done):
        before = calls_over_http(said.ask)
        assert (await rpc.call(said.ask(how="slow", seconds=SHORT_S * 0.9))).text == "slow"
        assert done == ["slow"]
        assert calls_over_http(said.ask) == before


async def test_a_link_on_which_nothing_comes_is_made_anew_within_two_deadlines(lab: Lab) -> None:
    async with proxy_to(lab.amqp_url) as proxy:
        service = Service(unique("svc"))
        async with lab.running(service, amqp_url=proxy.via(lab.amqp_url), rpc_timeout_s=SHORT_S) as runtime:
            [link] = runtime.links
            await asyncio.sleep(SHORT_S * 1.6)  # at rest it is left alone
            assert proxy.connections == 1
            proxy.lose_answer_to = lambda _: True
            started = time.monotonic()
            await eventually(lambda: _is(not link.is_up))
            proxy.lose_answer_to = lambda _: False
            await is_up(runtime)
            assert time.monotonic() - started < SHORT_S * 2
            assert proxy.connections == 2


@pytest.mark.usefixtures("own_database")
@pytest.mark.parametrize(
    ("deadline_s", "hung_s"),
    [pytest.param(DEADLINE_S, 1.8, id="2 s"), pytest.param(3.0, 40.0, id="40 s", marks=LONG)],
)
async def test_when_a_database_wakes_up_nothing_is_done_for_those_who_were_refused(
    lab: Lab, url: str, deadline_s: float, hung_s: float
) -> None:
    name = unique("svc")
    said = contracts(name)

    @takes(said.put)
    async def put(call: Any, tx: Transaction) -> Answered:
        await tx.execute("INSERT INTO marks (`key`, text) VALUES (%s, '')", (call.key,))
        tx.emit(said.marked(key=call.key))
        return Answered(by=name, text=call.key)

    @takes(list[said.gather])
    async def gather(calls: list[Any], tx: Transaction) -> list[Answered]:
        """Begins, writes and commits in one journey."""
        await tx.write_many("INSERT INTO marks (`key`, text) VALUES (%s, '')", [(one.key,) for one in calls])
        return [Answered(by=name, text=one.key) for one in calls]

    service = Service(name, answers=(answer(put), answer(gather, batch=64)), models=MODELS)
    async with (
        lab.running(service, database_url=url, database_pool=2, rpc_timeout_s=deadline_s),
        asking(lab, rpc_timeout_s=deadline_s, breaker_threshold=1000) as rpc,
    ):
        for call in (said.put(key="warm"), said.gather(key="warm")):
            await eventually(lambda call=call: _is_answered(rpc, call))
        async with lab.hung("database"):
            woken = asyncio.create_task(asyncio.sleep(hung_s))
            calls = [
                *(said.put(key=f"put {number}") for number in range(4)),
                *(said.gather(key=f"gather {number}") for number in range(4)),
            ]
            refused = await asyncio.gather(*(timed(rpc.call(call)) for call in calls))
            assert {type(problem) for problem, _ in refused} == {OutcomeUnknown}
            await woken
        await eventually(lambda: _is_answered(rpc, said.put(key="after")))
        await eventually(lambda: _is_answered(rpc, said.gather(key="after")))
    assert {mark.split()[0] for mark in await lab.marks(url)} == {"warm", "after"}
    assert not [mark for mark in await lab.marks(url) if " " in mark]


async def _answers_over_the_broker(rpc: Rpc, said: Contracts) -> bool:
    before = calls_over_http(said.ask)
    reply, _ = await timed(rpc.call(said.ask(how="hello")))
    return isinstance(reply, Answered) and calls_over_http(said.ask) == before


async def _is_answered(rpc: Rpc, call: Call[Any]) -> bool:
    try:
        await rpc.call(call)
    except (OutcomeUnknown, Unavailable):
        return False
    return True


async def _is(condition: bool) -> bool:
    return condition
