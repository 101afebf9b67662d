"""A month of real orders: `replay` of an Online Retail CSV (`--csv`), and its books."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import OURS, Aim
from bench.program import output_of
from bench.run import Run

AIMS: tuple[Aim, ...] = ()


async def run(bench: Run) -> None:
    """Once: a month takes its time. Fails unless every order ends and the books balance."""
    if bench.csv is None:
        bench.ledger.say("real orders: not measured (no --csv given)")
        return
    await asyncio.to_thread(bench.ground.shop)
    with TemporaryDirectory(prefix="sagamart-real-") as folder:
        found = Path(folder) / "found.json"
        limit = ["--orders", "200"] if bench.quick else []
        bench.say(f"real: {bench.csv.name}")
        arguments = ["-m", "ops.replay", str(bench.csv), "--json", str(found), *limit]
        await output_of(arguments, dict(bench.ground.environ))
        told = json.loads(await asyncio.to_thread(found.read_text))
    bench.ledger.note("real orders/s, 64 clients", OURS, told["orders_per_second"], "/s")
    bench.ledger.note("real orders, p50 to the final state", OURS, told["final_state_ms"]["p50"], "ms")
    bench.ledger.note("real orders, p95 to the final state", OURS, told["final_state_ms"]["p95"], "ms")
