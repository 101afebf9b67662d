"""Calls: typed both ways, on time, together, and honest about what may or may not have been done."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from aio_pika.abc import AbstractIncomingMessage

from shared import metrics
from shared.broker import topology
from shared.context import correlation_id, working_on
from shared.database.transaction import Transaction
from shared.errors import Conflict, Malformed, NotFound, OutcomeUnknown, Problem, RuleBroken, Unavailable
from shared.ids import new_id
from shared.messages import Call
from shared.registry import answer
from shared.rpc import Rpc, wire
from shared.rpc.callers import OPERATOR
from shared.rpc.credentials import Signer, new_key, public_part
from shared.rpc.http import HttpCalls, NobodyThere
from shared.rpc.peers import Names, parse_peers
from shared.service.app import create_app
from shared.service.service import Service
from tests.shared.lab import Lab, events_of, is_up, unique
from tests.shared.tiny.contracts import Answered, contracts, takes
from tests.shared.tiny.service import tiny
from tests.support.calling import SIGNER, bearer
from tests.support.ports import free_port
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

MODELS = ("tests.shared.tiny.models",)


@asynccontextmanager
async def asking(lab: Lab, **settings: Any) -> AsyncIterator[Rpc]:
    """Someone who asks, and answers nothing."""
    async with lab.running(Service(unique("asker")), **settings) as runtime:
        yield runtime.rpc


def service_of(name: str, *answers: Any, models: bool = False) -> Service:
    """A service that answers, without a database unless asked for."""
    return Service(name, answers=answers, models=MODELS if models else ())


def calls_over_http(call: type[Call[Any]]) -> float:
    """How many times this call has been made over HTTP."""
    return metrics.CALLS_OVER_HTTP.labels(call.wire_name)._value.get()


# Answers ----------------------------------------------------------------------------------------------------


async def test_an_answer_is_what_the_call_declares(lab: Lab):
    name = unique("svc")
    said = contracts(name)

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        return Answered(by="me", text=f"heard {call.how!r} for {correlation_id()}")

    async with lab.running(service_of(name, answer(ask))), asking(lab) as rpc:
        with working_on("order-7"):
            reply = await rpc.call(said.ask(how="이렇게"))
    assert reply == Answered(by="me", text="heard '이렇게' for order-7")


async def test_a_problem_comes_back_as_the_same_problem(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    async with lab.running(tiny(name), database_url=url), asking(lab) as rpc:
        with pytest.raises(RuleBroken) as raised:
            await rpc.call(said.ask(how="refuse"))
        assert raised.value.detail == "Not like that."
        assert [(one.field, one.message) for one in raised.value.errors] == [("how", "must not be 'refuse'")]
        with pytest.raises(Conflict):
            await rpc.call(said.put(key="a", how="refuse"))
        assert await lab.marks(url) == []
        assert await lab.outbox(url) == []
        with pytest.raises(Problem) as broken:
            await rpc.call(said.ask(how="break"))
        assert type(broken.value) is Problem
        assert "inside" not in broken.value.detail


async def test_a_call_that_does_not_fit_or_does_not_exist_is_refused(lab: Lab, url: str):
    name = unique("svc")

    class Bad(Call[Answered], name=f"{name}.ask", idempotent=True):
        seconds: str

    class Unknown(Call[None], name=f"{name}.unknown"):
        pass

    async with lab.running(tiny(name), database_url=url), asking(lab) as rpc:
        with pytest.raises(Malformed, match=r"Expected `float`, got `str` - at `\$.seconds`"):
            await rpc.call(Bad(seconds="soon"))
        with pytest.raises(NotFound, match="There is no call"):
            await rpc.call(Unknown())


async def test_what_a_call_tells_is_traced_to_it(lab: Lab, url: str):
    name = unique("svc")
    async with (
        lab.running(tiny(name), database_url=url),
        asking(lab) as rpc,
        lab.wiretap(f"{name}.events") as seen,
        lab.wiretap("rpc", name, kind="direct") as asked,
    ):
        with working_on("order-7"):
            await rpc.call(contracts(name).put(key="a"))
        await eventually(lambda: _some(seen))
    (told,) = events_of(seen[0])
    (request,) = wire.decode_requests(asked[0].body)
    assert told.correlationid == "order-7"
    assert told.causationid == request.id
    assert (told.traceparent or "")[:36] == (request.traceparent or "")[:36]
    message = asked[0]
    assert message.type == f"{name}.put"
    assert message.content_type == "application/json"
    assert message.correlation_id == "order-7"
    assert message.message_id == request.id
    assert message.headers == {"x-count": 1}
    assert isinstance(message.expiration, float)
    assert 0 < message.expiration <= 3


# Together ---------------------------------------------------------------------------------------------------


async def test_calls_made_in_one_turn_travel_as_one_message(lab: Lab):
    name = unique("svc")
    said = contracts(name)

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        if call.how == "3":
            raise Conflict("not three")
        return Answered(by=name, text=call.how)

    async with (
        lab.running(service_of(name, answer(ask))),
        asking(lab) as rpc,
        lab.wiretap("rpc", name, kind="direct") as seen,
    ):
        replies = await asyncio.gather(
            *(rpc.call(said.ask(how=str(n))) for n in range(100)), return_exceptions=True
        )
        await eventually(lambda: _some(len(seen) == 2))
    assert [len(wire.decode_requests(message.body)) for message in seen] == [64, 36]
    assert [message.headers["x-count"] for message in seen] == [64, 36]
    assert isinstance(replies.pop(3), Conflict)  # its own error, nobody else's
    assert [reply.text for reply in replies if isinstance(reply, Answered)] == [
        str(n) for n in range(100) if n != 3
    ]


async def test_calls_of_different_deadlines_travel_apart(lab: Lab):
    name = unique("svc")
    said = contracts(name)

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        return Answered(by=name, text="")

    async with (
        lab.running(service_of(name, answer(ask))),
        asking(lab) as rpc,
        lab.wiretap("rpc", name, kind="direct") as seen,
    ):
        await asyncio.gather(*(rpc.call(said.ask(), timeout=seconds) for seconds in (1, 9, 1, 9)))
        await eventually(lambda: _some(len(seen) == 2))
    assert [message.expiration for message in seen] == [1, 9]
    for message, left_ms in zip(seen, (1000, 9000), strict=True):
        assert [request.left_ms for request in wire.decode_requests(message.body)] == [left_ms] * 2


async def test_calls_answered_in_lists_share_a_transaction(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    lists: list[int] = []
    traces: list[str | None] = []

    @takes(list[said.gather])
    async def gather(calls: list[Any], tx: Transaction) -> list[Answered | Problem]:
        lists.append(len(calls))
        traces.append(correlation_id())
        await tx.write_many(
            "INSERT INTO marks (`key`, text) VALUES (%s, '')", [(call.key,) for call in calls]
        )
        if any(call.how == "break" for call in calls):
            raise RuntimeError("one of them is bad")
        return [
            Conflict(f"not {call.key}") if call.how == "refuse" else Answered(by=name, text=call.key)
            for call in calls
        ]

    async with (
        lab.running(service_of(name, answer(gather, batch=64), models=True), database_url=url),
        asking(lab) as rpc,
    ):

        async def ask(key: str, how: str = "") -> Any:
            with working_on(f"for {key}"):
                return await rpc.call(said.gather(key=key, how=how))

        replies = await asyncio.gather(*(ask(f"k{n}") for n in range(20)))
        assert [reply.text for reply in replies] == [f"k{n}" for n in range(20)]
        assert lists == [20]
        assert traces == [None]  # done for twenty, not in the name of the first

        lists.clear()
        good, refused = await asyncio.gather(ask("good"), ask("bad", "refuse"), return_exceptions=True)
        assert isinstance(good, Answered)
        assert isinstance(refused, Conflict)
        assert lists == [2]

        lists.clear()
        traces.clear()
        one, broken, other = await asyncio.gather(
            ask("one"), ask("broken", "break"), ask("other"), return_exceptions=True
        )
        assert isinstance(one, Answered)
        assert isinstance(other, Answered)
        assert type(broken) is Problem
        assert lists == [3, 1, 1, 1]
        assert traces == [None, "for one", "for broken", "for other"]
        marks = await lab.marks(url)
        assert "broken" not in marks
        assert marks.count("one") == marks.count("other") == 1


# On time ----------------------------------------------------------------------------------------------------


async def test_a_deadline_ends_the_wait_and_travels_along(lab: Lab):
    name = unique("svc")
    said = contracts(name)
    answered: list[str] = []

    @takes(said.ask_once)
    async def ask(call: Any) -> Answered:
        await asyncio.sleep(call.seconds)
        answered.append(call.how)
        return Answered(by=name, text=call.how)

    async with lab.running(service_of(name, answer(ask))), asking(lab) as rpc:
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"did not answer within 0\.3 s"):
            await rpc.call(said.ask_once(how="slow", seconds=1), timeout=0.3)
        assert 0.25 < time.monotonic() - started < 0.9
        assert (await rpc.call(said.ask_once(how="quick"))).text == "quick"


async def test_a_call_past_its_deadline_is_skipped_while_others_of_its_message_are_answered(lab: Lab):
    name = unique("svc")
    said = contracts(name)
    done: list[str] = []

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        done.append(call.how)
        return Answered(by=name, text=call.how)

    def request(how: str, left_ms: int | None) -> wire.Request:
        return wire.Request(
            id=str(new_id()),
            call=f"{name}.ask",
            left_ms=left_ms,
            data=msgspec.Raw(wire.encode(said.ask(how=how))),
        )

    async with lab.running(service_of(name, answer(ask))):
        replies = await lab.channel.get_queue(topology.REPLIES, ensure=False)
        replied: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await replies.consume(replied.put, no_ack=True, consumer_tag="replies")
        for body in (
            b"not JSON",
            b"[{}]",
            b"[" * 100_000,
            wire.encode([request("late", 0), request("timely", 5000)]),
        ):
            await lab.send("rpc", body, name, reply_to=topology.REPLIES)
        reply = await asyncio.wait_for(replied.get(), 15)
        (outcome,) = wire.decode_outcomes(reply.body)
    assert done == ["timely"]
    assert msgspec.json.decode(outcome.data)["text"] == "timely"
    assert reply.type == f"{name}.answers"
    assert reply.headers == {"x-count": 1}


# Away -------------------------------------------------------------------------------------------------------


async def test_a_service_that_is_down_is_unavailable_at_once_and_back_when_it_starts(lab: Lab):
    name = unique("svc")
    said = contracts(name)

    @takes(said.ask_once)
    async def ask(call: Any) -> Answered:
        return Answered(by=name, text="here")

    async with asking(lab, breaker_threshold=100) as rpc:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(Unavailable) as raised:
                await rpc.call(said.ask_once())
            assert time.monotonic() - started < 1  # far below the deadline of 3 s
            assert type(raised.value) is Unavailable  # nothing was done: no OutcomeUnknown
            assert raised.value.retry_after
            async with lab.running(service_of(name, answer(ask))):
                assert (await rpc.call(said.ask_once())).text == "here"


async def test_two_replicas_share_the_calls_and_one_may_leave_without_a_call_being_lost(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    first = await lab.process(name, url, instance=1)
    await lab.process(name, url, instance=2)
    async with asking(lab) as rpc:
        seen: set[str] = set()
        failures: list[BaseException] = []
        leaving = asyncio.Event()

        async def keep_asking() -> None:
            after = 0
            while after < 30:
                after += leaving.is_set()
                try:
                    seen.add((await rpc.call(said.ask_once(seconds=0.002))).by)
                except Problem as problem:
                    failures.append(problem)

        askers = [asyncio.create_task(keep_asking()) for _ in range(8)]
        await eventually(lambda: _some(len(seen) == 2))
        await first.terminate()
        seen.clear()
        leaving.set()
        await asyncio.gather(*askers)
    assert failures == []
    assert seen == {f"{name}#2"}


@pytest.mark.usefixtures("own_broker")
async def test_while_the_broker_is_short_of_memory_calls_go_over_http(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    process = await lab.process(name, url)
    service, peers = Service(unique("asker")), f"{name}={process.url}"
    async with lab.running(service, peers=peers, rpc_timeout_s=0.5) as asker:
        rpc, connection = asker.rpc, asker.links[0]._connection
        async with lab.broker_short_of_memory():
            # The broker says so to the first who sends something, and keeps that.
            await eventually(lambda: _is_answered(rpc, said.ask(how="a")))
            before = calls_over_http(said.ask)
            for number in range(10):
                assert (await rpc.call(said.ask_once(how=str(number)))).text == str(number)
            assert calls_over_http(said.ask) == before
            assert calls_over_http(said.ask_once) >= 10
            await asyncio.sleep(0.5 * 2)
            assert asker.links[0]._connection is connection  # short of memory, but not taken for dead
        await eventually(lambda: _some(rpc._channel and not rpc._channel.is_blocked))
        over_http = calls_over_http(said.ask)
        assert (await rpc.call(said.ask(how="b"))).text == "b"
        assert calls_over_http(said.ask) == over_http


async def test_without_the_broker_calls_go_over_http(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    process = await lab.process(name, url)
    peers = f"{name}={process.url}"
    async with (
        proxy_to(lab.amqp_url) as proxy,
        asking(lab, amqp_url=proxy.via(lab.amqp_url), peers=peers) as rpc,
        lab.wiretap(f"{name}.events") as told,
    ):
        assert (await rpc.call(said.ask(how="a"))).text == "a"
        assert calls_over_http(said.ask) == 0
        await proxy.cut()
        await eventually(lambda: _some(rpc._channel is None))
        assert (await rpc.call(said.ask(how="b"))).text == "b"
        with working_on("order-7"):
            assert (await rpc.call(said.put(key="c"))).text == "c"
        assert calls_over_http(said.ask) == 1
        await eventually(lambda: _some(told))
        assert events_of(told[0])[0].correlationid == "order-7"
        with pytest.raises(RuleBroken, match="Not like that") as raised:
            await rpc.call(said.ask_once(how="refuse"))
        assert raised.value.errors[0].field == "how"
        with pytest.raises(OutcomeUnknown):
            await rpc.call(said.ask_once(seconds=2), timeout=0.3)
        await process.kill()
        with pytest.raises(Unavailable) as away:
            await rpc.call(said.ask_once())
        assert type(away.value) is Unavailable


async def test_http_finds_the_replica_that_is_there(lab: Lab, url: str):
    name = unique("svc")
    process = await lab.process(name, url)
    calls = HttpCalls("", SIGNER)
    nobody = f"http://127.0.0.1:{free_port()}"
    calls._peers[name] = [nobody, process.url]
    request = wire.Request(id="1", call=f"{name}.ask", left_ms=5000, data=msgspec.Raw(b"{}"))
    try:
        assert (await calls.call(name, request)).problem is None
        assert [one.url for one in await calls._addresses(name)] == [process.url, nobody]  # asked first now
        with pytest.raises(NobodyThere):
            await calls.call("stranger", request)
    finally:
        await calls.close()


async def test_a_stranger_on_the_peers_port_is_no_answer():
    async def answer_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_anything, "127.0.0.1", 0)
    rpc = Rpc("tests", peers=f"stranger=http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        with pytest.raises(OutcomeUnknown, match="not the stranger service"):
            await rpc.call(contracts("stranger").ask())
    await rpc.close()


# Cut off while under way ------------------------------------------------------------------------------------


@asynccontextmanager
async def cut_in_the_middle(lab: Lab, url: str, *, peer: bool) -> AsyncIterator[tuple[Any, Rpc, list[str]]]:
    """A service whose first answer finds its asker's connection broken; and what it was asked."""
    name = unique("svc")
    said = contracts(name)
    asked: list[str] = []

    async with proxy_to(lab.amqp_url) as proxy:

        @takes(said.ask)
        async def ask(call: Any) -> Answered:
            asked.append(call.how)
            if len(asked) == 1:
                await proxy.cut()
            return Answered(by=name, text=call.how)

        @takes(said.ask_once)
        async def ask_once(call: Any) -> Answered:
            return await ask(call)

        service = service_of(name, answer(ask), answer(ask_once))
        port = free_port()
        async with lab.running(service) as runtime, served(service, runtime, port):
            peers = f"{name}=http://127.0.0.1:{port if peer else free_port()}"
            async with asking(lab, amqp_url=proxy.via(lab.amqp_url), peers=peers) as rpc:
                yield said, rpc, asked
                await proxy.heal()


@asynccontextmanager
async def served(service: Service, runtime: Any, port: int) -> AsyncIterator[None]:
    """The HTTP side of a runtime that already runs."""
    app = create_app(service, runtime.settings, runtime)
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server._serve())
    await eventually(lambda: _some(server.started))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def test_a_cut_call_that_may_not_be_repeated_has_an_unknown_outcome_at_once(lab: Lab, url: str):
    async with cut_in_the_middle(lab, url, peer=True) as (said, rpc, asked):
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await rpc.call(said.ask_once(how="x"))
        assert time.monotonic() - started < 2  # it did not wait for the deadline
        assert asked == ["x"]


async def test_a_cut_call_that_may_be_repeated_is_asked_again(lab: Lab, url: str):
    async with cut_in_the_middle(lab, url, peer=True) as (said, rpc, asked):
        assert (await rpc.call(said.ask(how="x"))).text == "x"
        assert asked == ["x", "x"]


async def test_a_cut_call_is_not_asked_again_when_too_many_were(lab: Lab, url: str):
    async with cut_in_the_middle(lab, url, peer=True) as (said, rpc, asked):
        while rpc._retries.take():
            pass
        with pytest.raises(OutcomeUnknown):
            await rpc.call(said.ask(how="x"))
        assert asked == ["x"]


async def test_an_unknown_outcome_stays_unknown_when_there_is_nobody_to_ask_again(lab: Lab, url: str):
    async with cut_in_the_middle(lab, url, peer=False) as (said, rpc, asked):
        with pytest.raises(OutcomeUnknown):
            await rpc.call(said.ask(how="x"))
        assert asked == ["x"]


async def test_a_broker_that_comes_back_is_used_again(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        return Answered(by=name, text=call.how)

    async with proxy_to(lab.amqp_url) as proxy:
        via = proxy.via(lab.amqp_url)
        async with (
            lab.running(service_of(name, answer(ask)), amqp_url=via) as server,
            lab.running(Service(unique("asker")), amqp_url=via, breaker_threshold=1000) as client,
        ):
            for _ in range(3):
                proxy.break_connections()

                async def works() -> bool:
                    try:
                        return (await client.rpc.call(said.ask(how="x"), timeout=1)).text == "x"
                    except Unavailable:
                        return False

                await eventually(works)
                await is_up(server)
                await is_up(client)


# The circuit breaker ----------------------------------------------------------------------------------------


async def test_the_breaker_opens_after_repeated_failures_and_closes_again(lab: Lab):
    name, other = unique("svc"), unique("svc")
    said = contracts(name)

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        return Answered(by=name, text="here")

    async with asking(lab, breaker_threshold=3, breaker_open_s=0.5) as rpc:
        for _ in range(3):
            with pytest.raises(Unavailable, match="is unavailable"):
                await rpc.call(said.ask())
        with pytest.raises(Unavailable, match="of late") as opened:
            await rpc.call(said.ask())
        assert opened.value.retry_after == 1
        async with (
            lab.running(service_of(name, answer(ask))),
        ):
            with pytest.raises(Unavailable, match="is unavailable"):
                await rpc.call(contracts(other).ask())  # each service has a breaker of its own

            async def works() -> bool:
                try:
                    return (await rpc.call(said.ask())).text == "here"
                except Unavailable:
                    return False

            await eventually(works, within_s=3)
            for _ in range(5):
                assert await works()


async def test_refusals_and_impatient_askers_do_not_open_the_breaker(lab: Lab):
    name = unique("svc")
    said = contracts(name)

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        if call.how == "refuse":
            raise Conflict("no")
        await asyncio.sleep(call.seconds)
        return Answered(by=name, text="here")

    async with (
        lab.running(service_of(name, answer(ask))),
        asking(lab, breaker_threshold=3, breaker_open_s=60) as rpc,
    ):
        for _ in range(5):
            with pytest.raises(Conflict):
                await rpc.call(said.ask(how="refuse"))
        for _ in range(5):
            impatient = asyncio.create_task(rpc.call(said.ask(seconds=1)))
            await eventually(lambda: _some(rpc._pending))
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
        assert (await rpc.call(said.ask())).text == "here"
        for _ in range(3):  # but a service that does not answer in time does
            with pytest.raises(OutcomeUnknown):
                await rpc.call(said.ask(seconds=1), timeout=0.05)
        with pytest.raises(Unavailable, match="of late"):
            await rpc.call(said.ask())


# By hand ----------------------------------------------------------------------------------------------------


async def test_calls_can_be_made_by_hand_over_http(lab: Lab, url: str):
    name = unique("svc")
    process = await lab.process(name, url)
    async with httpx.AsyncClient(trust_env=False, base_url=process.url, headers=bearer(name)) as client:
        answered = await client.post(f"/calls/{name}.ask", content=b'{"how": "curl"}')
        assert (answered.status_code, answered.json()) == (200, {"by": f"{name}#1", "text": "curl"})
        assert (await client.post(f"/calls/{name}.ask")).json()["text"] == ""  # nothing to say is {}

        async def problem(path: str, status: int, kind: str, **request: Any) -> str:
            answer = await client.post(path, **request)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            details = answer.json()
            assert details["status"] == status
            assert details["type"] == f"/problems/{kind}"
            return details["detail"]

        assert f"{name}.ask" in await problem(f"/calls/{name}.nothing", 404, "not-found")
        for body in (b"{", b"[]", b'{"how": 1}', b'{"how": "\xff"}', b'{"a":' * 50_000):
            await problem(f"/calls/{name}.ask", 400, "malformed", content=body)
        for left in ("soon", "", "-1", "1.5", "1e3", "2026-01-31T12:00:00Z", "86400001", "9" * 5000):
            detail = await problem(f"/calls/{name}.ask", 400, "malformed", headers={"x-time-left-ms": left})
            assert "write whole milliseconds from 0 to 86400000, such as 3000" in detail
        late = {"x-time-left-ms": "0"}
        assert "passed" in await problem(f"/calls/{name}.ask", 503, "service-unavailable", headers=late)
        await problem(f"/calls/{name}.ask", 422, "rule-broken", content=b'{"how":"refuse"}')
        detail = await problem(f"/calls/{name}.ask", 500, "internal-error", content=b'{"how":"break"}')
        assert "inside" not in detail
        assert (await client.get(f"/calls/{name}.ask")).status_code == 405
        assert (await client.get("/nothing")).headers["content-type"] == "application/problem+json"


async def test_what_operators_call_is_told(lab: Lab, url: str):
    name = unique("svc")
    key = new_key(OPERATOR)
    process = await lab.process(name, url, call_keys=public_part(key))
    alice, program = Signer(lambda: key, person="alice"), Signer(lambda: key)
    async with (
        lab.wiretap(f"{name}.events", f"{name}.operator_called") as seen,
        httpx.AsyncClient(trust_env=False, base_url=process.url) as client,
    ):
        for signer, call, body, status in (
            (alice, "put", {"key": "a", "password": "hunter2"}, 200),
            (alice, "ask", {"how": "refuse"}, 422),
            (program, "put", {"key": "b"}, 200),
            (alice, "nothing", {}, 404),
        ):
            head = {"authorization": f"Bearer {signer.token_for(name)}"}
            answered = await client.post(f"/calls/{name}.{call}", json=body, headers=head)
            assert answered.status_code == status, answered.text
        await eventually(lambda: _some(len(seen) == 3))
    said = [event.data for message in seen for event in events_of(message)]
    assert sorted((one["by"], one["call"], one["status"]) for one in said) == [
        ("alice", f"{name}.ask", 422),
        ("alice", f"{name}.put", 200),
        ("operator", f"{name}.put", 200),
    ]
    assert "hunter2" not in str(said)


async def test_a_commit_of_unknown_outcome_is_told_as_such(lab: Lab, url: str):
    name = unique("svc")
    async with (
        proxy_to(url) as proxy,
        lab.running(tiny(name), database_url=proxy.via(url)),
        asking(lab) as rpc,
    ):
        proxy.lose_answer_to = lambda data: b"COMMIT" in data
        with pytest.raises(OutcomeUnknown):
            await rpc.call(contracts(name).put(key="a"))
        await proxy.cut()
        with pytest.raises(Unavailable) as away:
            await rpc.call(contracts(name).put(key="b"))
        assert type(away.value) is Unavailable
        await proxy.heal()
    assert await lab.marks(url) == ["a"]


# Peers ------------------------------------------------------------------------------------------------------


def test_peers_are_ranges_of_ports():
    assert parse_peers("") == {}
    assert parse_peers(" item=http://127.0.0.1:8020-8022  order=https://order.shop:8000 ") == {
        "item": [f"http://127.0.0.1:{port}" for port in (8020, 8021, 8022)],
        "order": ["https://order.shop:8000"],
    }
    assert parse_peers("item=http://a:1-2,http://[::1]:3 order=http://o:1 item=http://a:2,http://b:1") == {
        "item": ["http://a:1", "http://a:2", "http://[::1]:3", "http://b:1"],
        "order": ["http://o:1"],
    }


async def test_a_name_of_several_addresses_is_several_replicas(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    looked_up: list[str] = []

    async def look_up(host: str) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.9", "::1", "127.0.0.1"] if host == "replicas.test" else []

    monkeypatch.setattr("shared.rpc.peers._look_up", look_up)
    name = unique("svc")
    process = await lab.process(name, url, service_hosts="replicas.test")
    port = process.url.rpartition(":")[2]
    assert [
        one.url for one in await Names().addresses([f"http://replicas.test:{port}", "http://no.test:1"])
    ] == [f"http://{host}:{port}" for host in ("127.0.0.9", "[::1]", "127.0.0.1")]
    request = wire.Request(id="1", call=f"{name}.ask", left_ms=5000, data=msgspec.Raw(b"{}"))
    looked_up.clear()
    calls = HttpCalls(f"{name}=http://replicas.test:{port}", SIGNER)
    try:
        assert (await calls.call(name, request)).problem is None
        assert [one.problem for one in await calls.call_each(name, request)] == [None]
        assert looked_up == ["replicas.test"], "it is remembered for a moment"
    finally:
        await calls.close()


@pytest.mark.parametrize(
    "text",
    [
        "item",
        "item=",
        "item=http://host",
        "Item=http://h:1",
        "item=ftp://h:1",
        "a=b=c",
        "a=http://h:1,",
        "a=http://h:0",
        "a=http://h:9-8",
    ],
)
def test_a_wrong_peer_is_named(text: str):
    with pytest.raises(ValueError, match="is no peer; write"):
        parse_peers(text)


async def _is_answered(rpc: Rpc, call: Call[Any]) -> bool:
    try:
        await rpc.call(call)
    except (OutcomeUnknown, Unavailable):
        return False
    return True


async def _some(thing: object) -> bool:
    return bool(thing)
