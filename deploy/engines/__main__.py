"""`./just engines`: run the shop on other servers than the machine's own."""

import argparse
import json
import sys
from pathlib import Path

from deploy.engines import packages
from deploy.engines.catalogue import SERVERS, chosen
from deploy.engines.matrix import STEPS, run
from deploy.local.errors import FleetError


def main(arguments: list[str] | None = None) -> int:
    """The command line: exit 0 if every step passed, 1 if one did not, 2 if nothing could be run."""
    given = _parser().parse_args(arguments)
    if not given.name and not given.as_shipped:
        print(_listed())
        return 0
    steps = given.steps or [step for step in STEPS if step != "bench" and (step != "replay" or given.csv)]
    if "replay" in steps and given.csv is None:
        print("replay needs orders: --csv FILE (an Online Retail CSV)", file=sys.stderr)
        return 2
    try:
        servers = chosen(given.name)
        for server in servers:
            packages.fetch(server)
        results = run(servers, steps, csv=given.csv, as_shipped=given.as_shipped)
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    for left in [step for step in STEPS if step not in steps]:
        print(f"  {left}: left out{' (it needs --csv FILE)' if left == 'replay' else ''}")
    for result in results:
        print(f"{result.servers}: {result.step}: {result.said}")
    if given.json:
        given.json.write_text(
            json.dumps([result.as_dict() for result in results], indent=2) + "\n", encoding="utf-8"
        )
    return 0 if all(result.passed for result in results) else 1


def _listed() -> str:
    """What there is to choose from."""
    lines = ["Servers that can be fetched (at most one database and one broker for a run):"]
    for server in SERVERS:
        state = "fetched" if packages.is_fetched(server) else "not fetched yet"
        lines.append(f"  {server.name:13} {server.packages[0]} of Debian {server.suite}, {state}")
    lines.append("./just engines mysql rabbitmq-4.3 runs " + ", ".join(STEPS[:-1]) + " on those two.")
    lines.append("Without a database or a broker named, the machine's own is used.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./just engines", description="Run the shop, its checks and its tests on other servers."
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help="a server; none: list them")
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=STEPS,
        metavar="STEP",
        help=f"what to run, of {', '.join(STEPS)} (default: all but bench)",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="orders to replay: an Online Retail CSV")
    parser.add_argument(
        "--as-shipped",
        action="store_true",
        help="the database with its maker's defaults: binary log, isolation, collation, modes",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
