"""`python -m bench.profile SERVICE SECONDS`: a flame graph (SVG) of a running service, by py-spy."""

import argparse
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.ground import environment
from deploy.local import fleet
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from ops.commands import at_least, writable

RATE = 250
"""Looks a second: enough to see what takes a hundredth of the time in ten seconds."""


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with the picture's path; 1 if py-spy fails; 2 if the service does not run."""
    arguments = _parser().parse_args(argv)
    environ = environment() if arguments.of_bench else None
    try:
        at = fleet.current_layout(environ)
        pid = _pid(at, arguments.service, environ)
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    picture: Path = arguments.out or at.run_dir / f"profile-{arguments.service}.svg"
    spy = Path(sysconfig.get_path("scripts")) / "py-spy"
    command = [str(spy), "record", "--pid", str(pid), "--duration", str(arguments.seconds)]
    command += ["--rate", str(RATE), "--format", "flamegraph", "--output", str(picture)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        print(f"py-spy: {(done.stderr or done.stdout).strip()}", file=sys.stderr)
        return 1
    print(picture)
    return 0


def _pid(at: Layout, name: str, environ: Mapping[str, str] | None) -> int:
    service, _, replica = name.partition("-")
    at.service(service)
    wanted = f"{service}-{replica or 1}"
    for process in fleet.ps(environ):
        if process.pid is not None and process.name == wanted:
            return process.pid
    raise FleetError(f"{name} does not run in {at.run_dir}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="profile", description="Draw where a service spends its time.")
    parser.add_argument("service", metavar="SERVICE", help="`order`, or one replica: `order-2`")
    parser.add_argument("seconds", type=partial(at_least, 1), nargs="?", default=10, metavar="SECONDS")
    parser.add_argument("--of-bench", action="store_true", help="of the benchmark's shop (bench --keep)")
    parser.add_argument("--out", type=writable, metavar="FILE", help="the picture, instead of one in .run/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
