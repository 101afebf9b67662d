"""nameko, in an environment of its own: `python nameko_rpc.py serve|ask URL [SECONDS IN_FLIGHT...]`.

It runs on greenlets, so it has its own loop to measure with, and imports nothing of ours.
"""

# pyright: reportMissingImports=false
import eventlet

eventlet.monkey_patch()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import deque  # noqa: E402
from collections.abc import Callable  # noqa: E402

from nameko.containers import ServiceContainer  # noqa: E402
from nameko.rpc import rpc  # noqa: E402
from nameko.standalone.rpc import ClusterRpcProxy  # noqa: E402

BODY = "x" * 300
WARM_UP_S = 0.3


class Echo:
    """Says it again."""

    name = "bench_echo_nameko"

    @rpc
    def say(self, text: str) -> str:
        """What was said."""
        return text


def serve(url: str) -> None:
    """Answer until told to stop."""
    container = ServiceContainer(Echo, config={"AMQP_URI": url, "max_workers": 64, "serializer": "json"})
    container.start()
    print("ready", flush=True)
    container.wait()


def ask(url: str, seconds: float, in_flight: list[int]) -> list[dict[str, float]]:
    """For each number, keep so many questions under way for some seconds."""
    with ClusterRpcProxy({"AMQP_URI": url, "serializer": "json"}) as cluster:
        say = cluster.bench_echo_nameko.say.call_async
        _measure(say, in_flight[0], WARM_UP_S)
        return [_measure(say, number, seconds) for number in in_flight]


def _measure(say: Callable, in_flight: int, seconds: float) -> dict[str, float]:
    waiting: deque = deque()
    times = []
    started = time.perf_counter()
    while (now := time.perf_counter()) < started + seconds or waiting:
        while len(waiting) < in_flight and now < started + seconds:
            waiting.append((time.perf_counter(), say(BODY)))
        if waiting:
            before, answer = waiting.popleft()
            if answer.result() != BODY:
                raise ValueError("the echo answered something else")
            times.append(time.perf_counter() - before)
    elapsed = time.perf_counter() - started
    return {"per_second": len(times) / elapsed, "p50_ms": sorted(times)[len(times) // 2] * 1000}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(ask(sys.argv[2], float(sys.argv[3]), [int(number) for number in sys.argv[4:]])))
