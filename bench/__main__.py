"""`python -m bench`: orders per second, time to COMPLETED at rest, and memory, of the shop that runs."""

import argparse
import asyncio
import sys
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from bench.saga import Market, Measured, closed_loop, steady
from deploy.local import fleet
from deploy.local.errors import FleetError
from ops.commands import add_json_option, admin_password, write_json

WARM_UP = 300
REST_PER_SECOND, REST_SECONDS = 10.0, 20.0


def main() -> int:
    """Exit 0 if every order completed."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=4000, help="orders per round (default 4000)")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=[64], help="numbers of clients (default 64)"
    )
    add_json_option(parser)
    arguments = parser.parse_args()
    try:
        at = fleet.up(keep_settings=True, report=lambda _: None)
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    url = urlsplit(at.gateway_url)
    rounds = asyncio.run(_rounds(url.hostname or "", url.port or 80, arguments.orders, arguments.clients))
    services = {service.name for service in at.services}
    memory = sum(process.memory_bytes for process in fleet.ps() if process.service in services)
    _show(rounds, memory)
    write_json(
        arguments.json,
        {"rounds": {name: measured for name, measured in rounds.items()}, "memory_bytes": memory},
    )
    return 0 if all(set(measured.ends) == {"COMPLETED"} for measured in rounds.values()) else 1


async def _rounds(host: str, port: int, orders: int, clients: list[int]) -> dict[str, Measured]:
    market = Market(host, port, admin_password())
    await market.open(WARM_UP + orders * len(clients) + int(REST_PER_SECOND * REST_SECONDS))
    await closed_loop(market, WARM_UP, 16)
    rounds = {f"{count} clients": await closed_loop(market, orders, count) for count in clients}
    rounds[f"{REST_PER_SECOND:g} orders/s"] = await steady(market, REST_PER_SECOND, REST_SECONDS)
    return rounds


def _show(rounds: dict[str, Measured], memory: int) -> None:
    table = Table(title="Orders of three lines and a coupon, through HTTP until COMPLETED")
    for heading in ("load", "orders/s", "p50 ms", "p95 ms", "p99 ms", "ends"):
        table.add_column(heading, justify="left" if heading in ("load", "ends") else "right")
    for name, one in rounds.items():
        ends = ", ".join(f"{end} {count:,}" for end, count in sorted(one.ends.items()))
        table.add_row(name, f"{one.per_second:,.0f}", f"{one.p50_ms}", f"{one.p95_ms}", f"{one.p99_ms}", ends)
    console = Console()
    console.print(table)
    console.print(f"services and gateway together: {memory / 2**20:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
