"""The checks on many orders: in a program of its own, whose time and memory are looked at.

`BOOKS_ORDERS=100000 ./just test tests/ops/test_verify_size.py -s` has so many of them, and prints what it
took.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from deploy.local.layout import Layout
from ops.verify.books import examine
from ops.verify.source import Databases
from tests.ops.books_many import fill, pg
from tests.ops.books_memory import ListedPg
from tests.ops.books_world import books_world

ORDERS = int(os.environ.get("BOOKS_ORDERS", "1100"))
A_COPY = 11
MEMORY_MB = 200
SECONDS = 60


async def test_many_orders_take_little_time_and_memory(servers: Layout) -> None:
    copies = -(-ORDERS // A_COPY)
    async with books_world(servers.admin_url) as world:
        await asyncio.to_thread(fill, world, copies)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, world.url_of("{}"), f"{copies}"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    figures = json.loads(output)
    print(figures)
    assert figures["discrepancies"] == []
    assert figures["orders"] == copies * A_COPY
    assert figures["seconds"] < SECONDS
    assert figures["megabytes"] < MEMORY_MB


async def _measure(urls: str, copies: int) -> dict[str, object]:
    started = time.monotonic()
    async with Databases(lambda service: urls.replace("{}", service)) as source:
        books = await examine(source, pg=ListedPg(pg(copies)), patience_s=0.0, second_look_s=0.0)
    return {
        "orders": books.orders,
        "discrepancies": [found.text for found in books.discrepancies[:20]],
        "seconds": round(time.monotonic() - started, 1),
        "megabytes": _peak_kb() // 1024,
    }


def _peak_kb() -> int:
    """The most memory that this program had; `ru_maxrss` would begin with that of whoever started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(sys.argv[1], int(sys.argv[2])))))
