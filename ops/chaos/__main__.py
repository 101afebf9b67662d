"""`python -m ops.chaos`: orders of every kind while the shop is broken on purpose; then the books."""

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console

from deploy.local.errors import FleetError
from ops.chaos.ground import Ground, own_ground, running_ground
from ops.chaos.plan import Fault, only, plan
from ops.chaos.report import show
from ops.chaos.run import Result, run
from ops.chaos.shrinking import Shrunk, shrink
from ops.commands import add_json_option, at_least, wide_console, write_json
from ops.databases import CannotRead
from ops.shop import Away, Refused

BUYERS = 24
SECONDS_A_FAULT = 5
ORDERS_A_SECOND = 10


def main(argv: list[str] | None = None) -> int:
    """Exit 0 only if nothing is lost, stuck or doubled, nobody was answered 500, and the books balance."""
    arguments = parser().parse_args(argv)
    if arguments.running and (arguments.replicas > 1 or arguments.keep):
        parser().error(
            "--running breaks the shop as it runs, and leaves it running: no --replicas, no --keep"
        )
    console = wide_console()
    # Ended from outside (`timeout`), it must take along what it has started, as at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(_chaos(arguments, console))
    except (FleetError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except (Away, Refused, CannotRead) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="chaos", description=__doc__)
    made.add_argument(
        "--seconds", type=partial(at_least, 5), default=60, metavar="N", help="so long (default 60)"
    )
    made.add_argument(
        "--orders", type=partial(at_least, 1), metavar="N", help="so many purchases (default 10 a second)"
    )
    made.add_argument(
        "--kills", type=partial(at_least, 0), metavar="N", help="so many faults (default one each 5 s)"
    )
    made.add_argument(
        "--seed", type=partial(at_least, 0), metavar="N", help="repeats a plan (default: a new one)"
    )
    made.add_argument("--infra", action="store_true", help="break the broker and the database, too")
    made.add_argument("--only", type=_numbers, metavar="3,7", help="these faults of the plan alone")
    made.add_argument(
        "--replicas", type=partial(at_least, 1), default=1, metavar="N", help="of each service (default 1)"
    )
    made.add_argument("--shrink", action="store_true", help="look for a smaller part of a failing plan")
    made.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    made.add_argument(
        "--running", action="store_true", help="break the shop that runs here, not one of its own"
    )
    made.add_argument("--keep", action="store_true", help="leave the shop as it is afterwards")
    add_json_option(made)
    return made


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"must be numbers of faults with commas between, not {text!r}")
    return [int(part) for part in parts]


async def _chaos(arguments: argparse.Namespace, console: Console) -> int:
    say = partial(console.print, highlight=False, soft_wrap=True)
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    kills = arguments.seconds // SECONDS_A_FAULT if arguments.kills is None else arguments.kills
    ground = _ground(arguments, say)
    scope = ground.scope(arguments.seconds, kills, infra=arguments.infra, replicas=arguments.replicas)
    faults = plan(seed, scope)
    if len(faults) < kills:
        say(f"{len(faults)} of {kills} faults find room in {arguments.seconds} s")
    if arguments.only:
        faults = only(faults, arguments.only)
    say(f"seed {seed}, {len(faults)} faults, in {arguments.seconds} s:")
    for fault in faults:
        say(f"{fault.at_s:6.1f} s  {fault.number:>3}  {fault.words}, {fault.lasts_s:g} s")
    if arguments.plan:
        return 0
    result = await _one_run(arguments, faults, seed, say, keep=arguments.keep)
    show(console, result)
    document: dict[str, Any] = {"seed": seed, **result.document()}
    if not result.good:
        numbers = ",".join(str(fault.number) for fault in faults)
        say(f"again: {_again(arguments, seed, numbers)}")
        if arguments.shrink:
            document["shrunk"] = await _shrink(arguments, faults, seed, say)
    write_json(arguments.json, document)
    return 0 if result.good else 1


def _ground(arguments: argparse.Namespace, say: Any) -> Ground:
    return running_ground(say) if arguments.running else own_ground(say)


async def _one_run(
    arguments: argparse.Namespace, faults: Sequence[Fault], seed: int, say: Any, *, keep: bool = False
) -> Result:
    ground = _ground(arguments, say)
    good = False
    try:
        await ground.begin(arguments.replicas)
        orders = arguments.orders or arguments.seconds * ORDERS_A_SECOND
        result = await run(ground, faults, orders=orders, seconds=arguments.seconds, seed=seed, buyers=BUYERS)
        good = result.good
        return result
    finally:
        await ground.leave(keep=keep, failed=not good)


async def _shrink(
    arguments: argparse.Namespace, faults: Sequence[Fault], seed: int, say: Any
) -> dict[str, Any]:
    async def fails(part: list[Fault]) -> bool:
        numbers = ",".join(str(fault.number) for fault in part)
        say(f"-- trying {numbers}")
        result = await _one_run(arguments, part, seed, say)
        say(f"-- {numbers}: {'all is well' if result.good else 'fails'}")
        return not result.good

    shrunk: Shrunk = await shrink(faults, fails)
    numbers = ",".join(str(fault.number) for fault in shrunk.faults)
    say(f"the smallest part that was seen to fail ({shrunk.why}): {_again(arguments, seed, numbers)}")
    return {"only": [fault.number for fault in shrunk.faults], "why": shrunk.why, "halvings": shrunk.halvings}


def _again(arguments: argparse.Namespace, seed: int, numbers: str) -> str:
    words = ["./just chaos", f"--seed {seed}", f"--seconds {arguments.seconds}"]
    words += [
        f"--{name} {value}" for name in ("orders", "kills") if (value := getattr(arguments, name)) is not None
    ]
    words += ["--infra"] if arguments.infra else []
    words += [f"--replicas {arguments.replicas}"] if arguments.replicas > 1 else []
    words += ["--running"] if arguments.running else []
    return " ".join([*words, f"--only {numbers}"])


if __name__ == "__main__":
    sys.exit(main())
