"""Questions and answers over RabbitMQ: a 300-byte echo, 64 in flight and one at a time."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from bench import nameko
from bench.figures import OURS, Aim, Key
from bench.program import ProgramFailed, output_of, running
from bench.run import Run

RATE = "calls/s, 64 in flight"
ALONE = "p50 of one caller"
IN_FLIGHT = 64
RAW, PATTERNS, FASTSTREAM, NAMEKO = "raw aio-pika", "aio_pika.patterns", "FastStream request", "nameko"

AIMS = (
    Aim("RPC calls/s, 64 in flight, by raw aio-pika", Key(RATE, OURS), Key(RATE, RAW), at_least=5),
    Aim("... by aio_pika.patterns.RPC", Key(RATE, OURS), Key(RATE, PATTERNS), at_least=5),
    Aim("... by FastStream's request", Key(RATE, OURS), Key(RATE, FASTSTREAM), at_least=20),
    Aim("... by nameko", Key(RATE, OURS), Key(RATE, NAMEKO), at_least=15),
    Aim("RPC p50 of one caller, by raw aio-pika", Key(ALONE, OURS), Key(ALONE, RAW), at_most=1.15),
)


class _Way(NamedTuple):
    """How to run one way of asking, on either side."""

    python: str
    serve: Sequence[str]
    ask: Sequence[str]


async def run(bench: Run) -> None:
    """All ways in turn, in every round; a server and a caller process each."""
    at = await asyncio.to_thread(bench.ground.servers)
    ways = {
        who: _of_ours(name)
        for who, name in (
            (OURS, "ours"),
            (RAW, "raw"),
            (PATTERNS, "patterns"),
            (FASTSTREAM, "faststream_request"),
        )
    }
    if (python := await _nameko(bench)) is not None:
        script = str(nameko.SCRIPT)
        ways[NAMEKO] = _Way(python, (script, "serve", at.amqp_url), (script, "ask", at.amqp_url))
    environ = {"BENCH_AMQP_URL": at.amqp_url}
    seconds = str(bench.size(200, 50) / 100)
    at.logs.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        for who, way in ways.items():
            log = at.logs / f"echo {who}.log"
            await stack.enter_async_context(running(way.serve, environ, log, python=way.python))
        for number in range(bench.rounds):
            for who, way in ways.items():
                bench.say(f"rpc: {who}, round {number + 1}")
                asked = [*way.ask, seconds, str(IN_FLIGHT), "1"]
                together, alone = json.loads(await output_of(asked, environ, python=way.python))
                bench.ledger.note(RATE, who, together["per_second"], "/s")
                bench.ledger.note(ALONE, who, alone["p50_ms"], "ms")


def _of_ours(name: str) -> _Way:
    return _Way(sys.executable, ("-m", "bench.echo", name, "serve"), ("-m", "bench.echo", name, "ask"))


async def _nameko(bench: Run) -> str | None:
    try:
        return await nameko.python()
    except ProgramFailed as error:
        bench.ledger.say(f"nameko: not measured ({str(error).strip().splitlines()[-1]})")
        return None
