"""`python -m bench.echo raw serve`, `... raw ask 2 64 1`: one side of an echo; the asking one prints JSON."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module

import uvloop

from bench.figures import at_share

Ask = Callable[[str], Awaitable[str]]

BODY = "x" * 300
WARM_UP_S = 0.3


def main(name: str, side: str, seconds: str = "1", *in_flight: str) -> None:
    """Serve until told to stop; or ask for some seconds with each number in flight, and print the rates."""
    way = import_module(f"bench.echo.{name}")
    url = os.environ["BENCH_AMQP_URL"]
    if side == "serve":
        uvloop.run(_serve(way.serving(url)))
    else:
        print(json.dumps(uvloop.run(_ask(way.asking(url), float(seconds), in_flight))))


async def _serve(serving: AbstractAsyncContextManager[None]) -> None:
    async with serving:
        print("ready", flush=True)
        await asyncio.Event().wait()


async def _ask(
    asking: AbstractAsyncContextManager[Ask], seconds: float, in_flight: Sequence[str]
) -> list[dict[str, float]]:
    async with asking as ask:
        await _measure(ask, int(in_flight[0]), WARM_UP_S)
        return [await _measure(ask, int(number), seconds) for number in in_flight]


async def _measure(ask: Ask, in_flight: int, seconds: float) -> dict[str, float]:
    """`in_flight` askers, each with its next question as soon as the last one is answered."""
    times: list[float] = []
    started = time.perf_counter()
    end = started + seconds

    async def asker() -> None:
        while (before := time.perf_counter()) < end:
            if await ask(BODY) != BODY:
                raise ValueError("the echo answered something else")
            times.append(time.perf_counter() - before)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(asker())
    elapsed = time.perf_counter() - started
    return {"per_second": len(times) / elapsed, "p50_ms": at_share(sorted(times), 0.5) * 1000}


if __name__ == "__main__":
    main(*sys.argv[1:])
