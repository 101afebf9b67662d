"""`./just containers`: build the image, run the shop in containers, and show that all of it works.

The shop is a project of its own with secrets of its own, two replicas of each service behind HAProxy, and is
removed with its data afterwards. In order: the image's size, the start, what each container may do, the demo,
a restart of every service one by one while people buy, the books, and the end.
"""

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from deploy.containers.buyers import buy_while
from deploy.containers.docker import Shop, added_bytes, build, docker, inspect, missing, whole_bytes
from deploy.local.errors import FleetError
from deploy.local.layout import layout
from deploy.services import ROOT, Service, load_services
from deploy.standins import __main__ as standins
from ops.commands import ADMIN_EMAIL

PROJECT = "sagamart-shown"
MOST_BYTES = 120_000_000
"""What the Dockerfile may add to its base."""

_HERE = Path(__file__).parent
_FILES = (ROOT / "compose.yaml", _HERE / "replicas.yaml", _HERE / "reachable.yaml")
_READY_WITHIN_S = 300
_DOOR_LOOKS_S = 3.0
"""Until HAProxy has looked up a gateway that is back, and asked whether it is ready."""
_KILLED = 137


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 if all went well, 1 if not, 2 if no containers can be run here."""
    parser = argparse.ArgumentParser(prog="./just containers", description="Show the shop in containers.")
    parser.add_argument(
        "--standins",
        action="store_true",
        help="make the base images of Debian's packages first, where they are missing",
    )
    parser.add_argument("--keep", action="store_true", help="leave the shop running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    if why := missing():
        print(f"no containers can be run here: {why}", file=sys.stderr)
        return 2
    figures: dict[str, Any] = {}
    try:
        if given.standins and standins.main([]) != 0:
            return 2
        _show(figures, keep=given.keep, standins_used=given.standins)
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if given.json:
            given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print("all went well")
    return 0


def _show(figures: dict[str, Any], *, keep: bool, standins_used: bool) -> None:
    ports = _ports(layout().base)
    shop = Shop(PROJECT, _FILES, ports)
    shop.compose("down", "--volumes", "--timeout", "60")
    began = time.monotonic()
    build(on_the_machines_network=standins_used)
    figures["build_s"] = _since(began)
    figures["image_mb"], figures["added_mb"] = _mb(whole_bytes()), _mb(added_bytes())
    print(
        f"image: {figures['image_mb']} MB, {figures['added_mb']} of them added to its base;"
        f" built in {figures['build_s']:.0f} s",
        flush=True,
    )
    if added_bytes() > MOST_BYTES:
        raise FleetError(f"the Dockerfile adds more than {_mb(MOST_BYTES)} MB to its base")
    try:
        began = time.monotonic()
        shop.compose("up", "--detach", "--wait", "--wait-timeout", str(_READY_WITHIN_S))
        figures["start_s"] = _since(began)
        count = len(shop.containers())
        print(f"up: {count} containers ready after {figures['start_s']:.0f} s", flush=True)
        told = _told(shop)
        _check_containers(shop)
        _tool("demo", told)
        figures |= asyncio.run(_restarted_under_load(shop, told))
        _tool("verify", told)
    except BaseException:  # also Ctrl-C: containers must not be left running; raised again
        if not keep:
            shop.compose("down", "--volumes", "--timeout", "60")
        raise
    if keep:
        print(f"it keeps running: docker compose --project-name {PROJECT} down --volumes")
        return
    began = time.monotonic()
    shop.compose("stop")
    _check_ends(shop)
    shop.compose("down", "--volumes")
    figures["down_s"] = _since(began)
    print(f"down: after {figures['down_s']:.0f} s; nobody had to be killed", flush=True)


def _ports(base: int) -> dict[str, str]:
    """Where a local run would have them."""
    at = layout({"SHOP_PORT_BASE": str(base)})
    outside = next(service for service in at.services if service.outside)
    return {
        "SHOP_PORT_BASE": str(base),
        "SHOP_MANAGEMENT_PORT": str(at.management_port),
        "SHOP_AMQP_PORT": str(at.amqp_port),
        "SHOP_DATABASE_PORT": str(at.database_port),
        "SHOP_PG_PORT": str(outside.port(base, 1)),
    }


def _services() -> list[Service]:
    return [service for service in load_services({}) if not service.outside]


def _check_containers(shop: Shop) -> None:
    """Each process is nobody special, can write nowhere, and reads its passwords from files."""
    for service in load_services({}):
        for container in shop.containers(service.name):
            found = inspect(container)
            who = docker("exec", container, "id", "-u").strip()
            passwords = [value for value in found["Config"]["Env"] if "://" in value and "@" in value]
            if who == "0" or not found["HostConfig"]["ReadonlyRootfs"] or passwords:
                raise FleetError(f"{service.name} runs as {who}, may write, or has passwords in {passwords}")
    print("containers: none runs as root, writes to its own files or has a password in its environment")


def _tool(recipe: str, told: dict[str, str]) -> None:
    """Run a recipe of this machine on the shop in containers; raises `FleetError` if it is not satisfied."""
    began = time.monotonic()
    log = ROOT / ".run" / f"containers-{recipe}.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(  # noqa: S603
            [str(ROOT / "just"), recipe],
            cwd=ROOT,
            env={**_outside(), **told},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    for line in lines:
        if line.startswith(("left out", "All ", "The books")):
            print(f"{recipe}: {line}", flush=True)
    if done.returncode != 0:
        raise FleetError(f"{recipe} failed; {log} says why")
    print(f"{recipe}: passed in {_since(began):.0f} s", flush=True)


def _outside() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SHOP_")}


def _told(shop: Shop) -> dict[str, str]:
    """Where tools of this machine find the shop, with its secrets."""
    said = shop.compose("run", "--rm", "secrets", "deploy.containers.secrets", "/secrets", "--tools")
    words = (shlex.split(line) for line in said.splitlines() if line.startswith("export "))
    return dict(word.split("=", 1) for _, word in words)


async def _restarted_under_load(shop: Shop, told: dict[str, str]) -> dict[str, Any]:
    """Restart every process, one after another, while people buy; raises `FleetError` if they noticed."""
    began = time.monotonic()
    admin = (ADMIN_EMAIL, told["SHOP_ADMIN_PASSWORD"])
    bought, stops = await buy_while(told["SHOP_GATEWAY_URL"], admin, lambda: _restart_all(shop))
    times = sorted(bought.times)
    figures = {
        "restart_s": _since(began),
        "restarted": len(stops),
        "longest_stop_s": max(stops),
        "requests": len(times),
        "orders": bought.orders,
        "failures": bought.failures,
        "median_ms": round(times[len(times) // 2] * 1000),
        "p99_ms": round(times[len(times) * 99 // 100] * 1000),
        "longest_ms": round(times[-1] * 1000),
    }
    print(
        f"restarts: {len(stops)} processes one by one in {figures['restart_s']:.0f} s, each stopped within"
        f" {max(stops):.1f} s; meanwhile {len(times)} requests, {len(bought.failures)} of them failed,"
        f" {bought.orders} orders; median {figures['median_ms']} ms, p99 {figures['p99_ms']} ms,"
        f" longest {figures['longest_ms']} ms",
        flush=True,
    )
    if bought.failures:
        raise FleetError("\n".join(["the buyers noticed:", *bought.failures[:20]]))
    return figures


async def _restart_all(shop: Shop) -> list[float]:
    """How many seconds each took to stop."""
    stops: list[float] = []
    for service in _services():
        for container in await asyncio.to_thread(shop.containers, service.name):
            began = time.monotonic()
            await asyncio.to_thread(docker, "stop", container)
            stops.append(_since(began))
            if inspect(container)["State"]["ExitCode"] == _KILLED:
                raise FleetError(f"{service.name} did not stop within its grace and was killed")
            await asyncio.to_thread(docker, "start", container)
            await _healthy(container, service.name)
            if service.public:
                await asyncio.sleep(_DOOR_LOOKS_S)
    return stops


async def _healthy(container: str, name: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while (await asyncio.to_thread(inspect, container))["State"]["Health"]["Status"] != "healthy":
        if time.monotonic() > deadline:
            raise FleetError(f"{name} was not healthy within {_READY_WITHIN_S} s after its restart")
        await asyncio.sleep(0.5)


def _check_ends(shop: Shop) -> None:
    for service in load_services({}):
        for container in shop.containers(service.name, all_of_them=True):
            if inspect(container)["State"]["ExitCode"] == _KILLED:
                raise FleetError(f"{service.name} did not stop within its grace and was killed")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def _mb(size: int) -> int:
    return round(size / 1e6)


if __name__ == "__main__":
    sys.exit(main())
