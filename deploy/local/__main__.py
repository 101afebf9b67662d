"""Command line of local runs: `python -m deploy.local up`, `down`, `ps` and so on."""

import argparse
import json
import os
import shlex
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local import fleet, logs
from deploy.local.errors import FleetError
from deploy.local.layout import HOST, MANAGEMENT_UNKNOWN, Layout, layout
from deploy.services import Service
from shared.permissions import PEOPLE


def main(arguments: list[str] | None = None) -> int:
    """Run one command; what a person can mend is printed without a traceback."""
    parsed = _parser().parse_args(arguments)
    try:
        return _run(parsed) or 0
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read us (`| head`) has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(parsed: argparse.Namespace) -> int | None:
    match parsed.command:
        case "up":
            print_urls(fleet.up())
        case "infra":
            fleet.infra()
        case "down":
            fleet.down()
        case "migrate":
            fleet.migrate()
            print("all databases and queues are up to date")
        case "reset":
            fleet.reset()
            print("all data, logs and settings of this run are deleted")
        case "ps":
            return _ps(as_json=parsed.json)
        case "open":
            _open(as_json=parsed.json)
        case "logs":
            logs.show(layout(), parsed.service, lines=parsed.lines, follow=parsed.follow)
        case "restart":
            fleet.restart(parsed.service)
        case "scale":
            fleet.scale(parsed.service, parsed.replicas)
        case "stop":
            fleet.stop(parsed.service)
        case "start":
            fleet.start(parsed.service)
        case "run":
            _exec(layout(), parsed.module, parsed.arguments)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Sagamart on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what does not run; return when all is ready")
    commands.add_parser("infra", help="start broker and database only")
    commands.add_parser("migrate", help="bring databases and queues up to date")
    commands.add_parser("down", help="stop everything; data stays")
    commands.add_parser("reset", help="stop everything and delete all data")
    for name, text in (("ps", "what runs, and how it is"), ("open", "where everything is")):
        commands.add_parser(name, help=text).add_argument("--json", action="store_true")
    show = commands.add_parser("logs", help="show the log of a service and go on showing it")
    show.add_argument("service")
    show.add_argument("-n", "--lines", type=int, default=50)
    show.add_argument("--no-follow", dest="follow", action="store_false")
    commands.add_parser("restart", help="restart a service, or all").add_argument("service", nargs="?")
    for name in ("stop", "start"):
        commands.add_parser(name, help=f"{name} a service, the broker or the database").add_argument(
            "service"
        )
    scale = commands.add_parser("scale", help="have so many replicas of a service")
    scale.add_argument("service")
    scale.add_argument("replicas", type=int)
    run = commands.add_parser("run", help="run a Python module that is told where the shop is")
    run.add_argument("module")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _ps(*, as_json: bool) -> int:
    found = fleet.ps()
    if as_json:
        print(json.dumps([process.as_dict() for process in found], indent=2))
        return 0
    if not found:
        print(f"nothing runs in {layout().run_dir}")
        return 0
    table = Table(box=None, pad_edge=False)
    table.add_column("service")
    table.add_column("#", justify="right")
    table.add_column("pid", justify="right")
    table.add_column("state")
    table.add_column("memory", justify="right")
    table.add_column("port", justify="right")
    table.add_column("")
    for process in found:
        table.add_row(
            process.service,
            str(process.replica or ""),
            str(process.pid or ""),
            process.state,
            f"{process.memory_bytes / 1e6:.0f} MB" if process.pid else "",
            str(process.port),
            process.failing,
        )
    total = sum(process.memory_bytes for process in found if process.service not in fleet.SERVERS)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"services together: {total / 1e6:.0f} MB")
    return 0


def _places(at: Layout) -> dict[str, Any]:
    return {
        "gateway": at.gateway_url,
        "console": f"{at.gateway_url}/console",
        "docs": f"{at.gateway_url}/docs",
        "management": at.management_page,
        "management_user": PEOPLE if at.private_broker else None,
        "management_password": at.broker_password(PEOPLE) if at.private_broker else None,
        "amqp": at.amqp_url,
        "database": at.admin_url,
        "database_read_only": at.verify_url,
        "databases": {service.name: at.database_url(service) for service in at.services if service.database},
        "services": {service.name: service_url(at, service) for service in at.services},
        "ports": {
            "epmd": at.epmd_port,
            "erlang_distribution": at.distribution_port,
            "supervisor": at.control_port,
            "supervisor_notices": at.notices_port,
        }
        if at.private_broker
        else {"supervisor": at.control_port, "supervisor_notices": at.notices_port},
        "run_dir": str(at.run_dir),
    }


def service_url(at: Layout, service: Service) -> str:
    """Where the first replica of a service answers."""
    scheme = "http" if service.outside else at.scheme
    return f"{scheme}://{HOST}:{service.port(at.base, 1)}"


def _open(*, as_json: bool) -> None:
    at = fleet.current_layout()
    places = _places(at)
    if as_json:
        print(json.dumps(places, indent=2))
        return
    print_urls(at)
    print(f"database        {at.admin_url}")
    print(f"  read only     {at.verify_url}")
    for name, url in places["databases"].items():
        print(f"  {name:<13} {url}")
    print("own ports       /livez /readyz /metrics; replica k of a service on its port + k - 1")
    for name, url in places["services"].items():
        print(f"  {name:<13} {url}")
    print(f"other ports     {', '.join(f'{port} {name}' for name, port in places['ports'].items())}")


def print_urls(at: Layout) -> None:
    """Where a person finds what runs."""
    print(f"shop            {at.gateway_url}")
    print(f"  API           {at.gateway_url}/docs")
    print(f"  console       {at.gateway_url}/console   (admin@sagamart.local)")
    if at.private_broker:
        print(f"management UI   {at.management_page}   ({PEOPLE} / {at.broker_password(PEOPLE)})")
    else:
        print(f"management UI   {at.management_page or MANAGEMENT_UNKNOWN}")
    print(f"AMQP            {at.amqp_url}")
    if at.private_database:
        password = shlex.quote(str(at.secrets / "database-root"))
        print(f'SQL             mysql -h {HOST} -P {at.database_port} -u root -p"$(cat {password})"')
    if at.tls:
        print(f"trust           {at.ca_file}   (curl --cacert ...)")
    print(f"logs            {at.logs}")


def _exec(at: Layout, module: str, arguments: list[str]) -> None:
    """Become `python -m module`, after the settings that say where the shop is were found good."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
