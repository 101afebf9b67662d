"""`python -m bench`: Sagamart beside its peers, on one broker and one database, as a table of ratios."""

import argparse
import asyncio
import signal
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pymysql

from bench import report
from bench.figures import Ledger
from bench.ground import prepare
from bench.market import WrongBooks
from bench.plot import draw
from bench.program import ProgramFailed
from bench.run import Run
from deploy.local.errors import FleetError
from ops.commands import add_json_option, at_least, wide_console, writable, write_json

MEASURES = (
    "rpc",
    "saga",
    "reads",
    "hot",
    "lines",
    "streams",
    "replicas",
    "backlog",
    "old",
    "long",
    "real",
    "overload",
)
"""In this order, so that calls are measured while nothing else runs."""
COSTLY = ("replicas", "long", "real", "overload")
"""What `--quick` measures only where it is named."""
ROUNDS = 3


def main(argv: list[str] | None = None) -> int:
    """Exit 0 if all was measured, whether or not aims are met; 1 if something failed; 2: cannot begin."""
    arguments = parser().parse_args(argv)
    console = wide_console()
    names = chosen(arguments)
    modules = {name: import_module(f"bench.measures.{name}") for name in names}
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    try:
        ground = prepare()
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    ledger = Ledger()
    if left_out := [name for name in MEASURES if name not in names]:
        ledger.say(f"not measured, for it was not asked for: {', '.join(left_out)}")
    say = partial(console.print, style="dim", highlight=False)
    run = Run(ground, ledger, rounds, arguments.quick, say, arguments.csv)
    # Ended from outside (`timeout`), it must take along what it has started, as at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        complete = asyncio.run(_measure(run, modules))
    except KeyboardInterrupt:
        return 130
    finally:
        ground.leave(keep=arguments.keep)
    aims = [aim for module in modules.values() for aim in module.AIMS]
    report.show(console, ledger, aims)
    settings = {"measures": names, "rounds": rounds, "quick": arguments.quick}
    write_json(arguments.json, report.document(ledger, aims, settings))
    if arguments.svg is not None:
        draw(arguments.svg, ledger, aims)
        for name, module in modules.items():
            if hasattr(module, "draw"):
                module.draw(arguments.svg.with_stem(f"{arguments.svg.stem}-{name}"), ledger)
    return 0 if complete else 1


async def _measure(run: Run, modules: dict[str, ModuleType]) -> bool:
    """Measure one thing after another; what fails is told, and the others are measured all the same."""
    complete = True
    for name, module in modules.items():
        began = time.monotonic()
        try:
            await module.run(run)
        except (FleetError, ProgramFailed, WrongBooks, TimeoutError, pymysql.err.MySQLError) as error:
            run.ledger.say(f"{name} FAILED: {error}")
            complete = False
        run.say(f"{name} took {time.monotonic() - began:.0f} s")
    return complete


def chosen(arguments: argparse.Namespace) -> list[str]:
    """What is to be measured, in the order of measuring."""
    usual = [name for name in MEASURES if not (arguments.quick and name in COSTLY)]
    return [name for name in MEASURES if name in (arguments.names or usual)]


def _name(text: str) -> str:
    # Not `choices`: argparse would hold the empty list, the default, against them.
    if text not in MEASURES:
        raise argparse.ArgumentTypeError(f"there is no {text!r}; there are {', '.join(MEASURES)}")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="bench", description=__doc__)
    made.add_argument(
        "names", nargs="*", type=_name, metavar="NAME", help=f"of {', '.join(MEASURES)} (default: all)"
    )
    made.add_argument(
        "--quick", action="store_true", help=f"a little of everything but {', '.join(COSTLY)}: 3 minutes"
    )
    made.add_argument(
        "--rounds", type=partial(at_least, 1), metavar="N", help=f"rounds (default {ROUNDS}, 1 with --quick)"
    )
    made.add_argument("--csv", type=Path, metavar="FILE", help="a month of Online Retail, for `real`")
    made.add_argument("--keep", action="store_true", help="leave the shop running, for next time")
    made.add_argument(
        "--svg", type=writable, metavar="FILE", help="draw the ratios there, and curves beside it"
    )
    add_json_option(made)
    return made


if __name__ == "__main__":
    sys.exit(main())
