"""Runs the shop's commands on chosen servers, one after the other, and notes what came of each."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.engines import packages
from deploy.engines.catalogue import Server
from deploy.local import fleet
from deploy.services import ROOT

REPLAYED = 300
_SUMMARY = re.compile(r"^The books|\d+ passed|\d+ failed")
STEPS = ("demo", "verify", "replay", "suite", "bench")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one command on one pair of servers."""

    servers: str
    step: str
    passed: bool
    seconds: float
    said: str
    """The line that sums it up; the last one if none does."""

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


def run(
    servers: Sequence[Server], steps: Sequence[str], *, csv: Path | None, as_shipped: bool
) -> list[Result]:
    """Run these steps with these servers, on a run of their own, which is deleted afterwards.

    The servers must be fetched. `replay` needs a CSV of retail orders, and `bench` measures the machine's own
    servers, too, right before.
    """
    named = "+".join(server.name for server in servers) or "the machine's own"
    label = f"{named}, as shipped" if as_shipped else named
    programs = {server.setting: str(packages.program(server)) for server in servers}
    home = ROOT / ".run" / "engines"
    settings = {"SHOP_PORT_BASE": os.environ.get("SHOP_PORT_BASE", "8100"), "SHOP_RUN_DIR": str(home / "run")}
    ours = {**_without_settings(), **settings, **programs}
    if as_shipped:
        ours["SHOP_DATABASE_AS_SHIPPED"] = "1"
    logs = home / label.replace(" ", "-").replace(",", "").replace("'", "")
    logs.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []

    def do(step: str, environ: Mapping[str, str], *command: str, on: str = label) -> None:
        result = _timed(on, step, environ, command, logs / f"{step.replace(' ', '-')}.log")
        print(f"  {step}: {'passed' if result.passed else 'FAILED'}, {result.seconds:.0f} s", flush=True)
        results.append(result)

    print(label, flush=True)
    fleet.reset(ours)  # what a run that was killed has left
    try:
        for step in steps:
            match step:
                case "replay":
                    do(step, ours, "replay", str(csv), "--orders", str(REPLAYED))
                case "suite":
                    said = {name: value for name, value in ours.items() if name not in settings}
                    tests = {name.replace("SHOP_", "SHOP_TEST_", 1): value for name, value in said.items()}
                    do(step, tests, "test")
                case "bench":
                    plain = {**_without_settings(), **settings}
                    do("bench of its own", plain, "bench", "saga", "--quick", on="the machine's own")
                    do(step, ours, "bench", "saga", "--quick")
                case _:
                    do(step, ours, step)
    finally:
        fleet.reset(ours)
    return results


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SHOP_")}


def _timed(on: str, step: str, environ: Mapping[str, str], command: Sequence[str], log: Path) -> Result:
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(  # noqa: S603
            [str(ROOT / "just"), *command],
            cwd=ROOT,
            env=environ,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").split("\n")]
    summaries = [line for line in lines if _SUMMARY.search(line)] or [line for line in lines if line] or [""]
    said = summaries[-1]
    return Result(on, step, done.returncode == 0, round(time.monotonic() - started, 1), said)
