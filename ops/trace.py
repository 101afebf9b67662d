"""`python -m ops.trace ORDER`: the saga of one order, step by step, with times and services."""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL, add_json_option, admin_password, wide_console, write_json
from ops.databases import CannotRead, Query, Row, reading
from ops.shop import Away, Change, Order, Refused, Shop

_CLAIM = (
    "SELECT state, reason, details, created_at AS decided_at,"
    " IF(state = 'RELEASED', changed_at, NULL) AS released_at FROM {table} WHERE order_id = %s"
)
CLAIMS = {
    "item": _CLAIM.format(table="item_svc.item_claims"),
    "coupon": _CLAIM.format(table="coupon_svc.coupon_claims"),
    "payment": (
        "SELECT state, reason, details, created_at AS decided_at, IF(state = 'RELEASED', changed_at, NULL)"
        " AS released_at FROM payment_svc.payments WHERE order_id = %s ORDER BY attempt DESC LIMIT 1"
    ),
}
OUTBOX = "SELECT type, attempts, created_at FROM {service}_svc.outbox WHERE LOCATE(%s, subjects) ORDER BY id"

_VERDICTS = {"HELD": "claims it: yes", "REJECTED": "refuses"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, in the service where it happened."""

    at: datetime
    service: str
    what: str
    details: str = ""


def timeline(order: Order, claims: Mapping[str, Row], waiting: Mapping[str, Sequence[Row]]) -> list[Step]:
    """The order's history, what its participants wrote down, and events that have not left yet, by time."""
    steps = [Step(change.at, "order", _said(change), _details(change.details)) for change in order.history]
    for service, claim in claims.items():
        steps += _claimed(service, claim)
    for service, rows in waiting.items():
        steps += [
            Step(
                _utc(row["created_at"]),
                service,
                f"{row['type']} waits in the outbox",
                f"{row['attempts']} attempts",
            )
            for row in rows
        ]
    # Stable: what one transaction did has one time and stays in its order.
    return sorted(steps, key=lambda step: step.at)


def _claimed(service: str, claim: Row) -> Iterable[Step]:
    decided, released = _utc(claim["decided_at"]), claim["released_at"]
    if released is not None and _utc(released) == decided:
        yield Step(decided, service, "had taken nothing, and never will for this order")
        return
    verdict = _VERDICTS["REJECTED" if claim["reason"] else "HELD"]
    details = msgspec.json.decode(claim["details"]) if claim["details"] else None
    reason = {"reason": claim["reason"]} if claim["reason"] else {}
    yield Step(decided, service, verdict, _details({**reason, **(details or {})}))
    if released is not None:
        yield Step(_utc(released), service, "has given back")


def _said(change: Change) -> str:
    said = change.what.replace("_", " ").lower()
    # Other entries name their participant in their own words: "stock deducted".
    return f"{said} from {change.participant}" if change.what == "RELEASE_REQUESTED" else said


def _details(details: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in (details or {}).items())


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " and ".join(map(str, value))
    return (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool) and value > 9999
        else str(value)
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with the saga; 1: no such order, or the shop is away; 2: not an order id."""
    parser = argparse.ArgumentParser(prog="trace", description="Show the saga of one order, step by step.")
    parser.add_argument("order", type=_order_id, metavar="ORDER", help="the order's id, as the shop gave it")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    console = wide_console()
    try:
        order, steps = asyncio.run(_look(current_layout(), arguments.order))
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    except Away as error:
        print(f"the shop does not answer ({error}); `./just up` starts it", file=sys.stderr)
        return 1
    except Refused as refusal:
        unknown = refusal.status == 404
        print(f"there is no order {arguments.order}" if unknown else refusal, file=sys.stderr)
        return 1
    except CannotRead as error:
        print(error, file=sys.stderr)
        return 1
    show(console, order, steps)
    write_json(arguments.json, {"order": order, "steps": [_document(step, steps[0].at) for step in steps]})
    return 0


def _order_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an order id") from None


async def _look(at: Layout, order_id: str) -> tuple[Order, list[Step]]:
    async with Shop(at.gateway_url) as shop:
        admin = await shop.sign_in(ADMIN_EMAIL, admin_password())
        order = await admin.order(order_id)
    async with reading(at.verify_url) as query:
        concerned = [one.name for one in order.participants]
        claims = {name: rows[0] for name in concerned if (rows := await query(CLAIMS[name], (order_id,)))}
        waiting = {name: await _waiting(query, name, order_id) for name in ("order", *concerned)}
    return order, timeline(order, claims, waiting)


async def _waiting(query: Query, service: str, order_id: str) -> list[Row]:
    return await query(OUTBOX.format(service=service), (order_id,))


def show(console: Console, order: Order, steps: Sequence[Step]) -> None:
    """Print the order and its steps."""
    end = "settled" if order.settled else "not settled"
    reason = f", {order.reason}" if order.reason else ""
    paid = "paid" if order.paid else "unpaid"
    console.print(
        Text(f"Order {order.id}: {order.status}{reason}, {end}; {order.total:,} won, {paid}", "bold")
    )
    stands = ", ".join(f"{one.name} {one.state}" for one in order.participants)
    console.print(Text(f"Participants: {stands}"))
    table = Table()
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("service")
    table.add_column("step")
    table.add_column("details")
    for step in steps:
        after = f"{(step.at - steps[0].at).total_seconds() * 1000:,.1f} ms"
        time = step.at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
        table.add_row(after, time, step.service, Text(step.what), Text(step.details))
    console.print(table)


def _document(step: Step, start: datetime) -> dict[str, Any]:
    return {
        "at": step.at,
        "after_ms": round((step.at - start).total_seconds() * 1000, 3),
        "service": step.service,
        "step": step.what,
        "details": step.details,
    }


if __name__ == "__main__":
    sys.exit(main())
