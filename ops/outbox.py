"""`python -m ops.outbox`: what waits in the services' outboxes, and what could not be sent."""

import argparse
import sys
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from ops.as_admin import as_admin
from ops.commands import add_json_option, wide_console, write_json
from ops.shop import PAGE, Session
from shared.service.describe import OutboxStatus, ParkedMessage, ParkedPage, SentAgain


class ServiceOutbox(Struct, frozen=True, kw_only=True):
    """The outbox of a service; without figures if the service is away."""

    service: str
    status: OutboxStatus | None


class _Outboxes(Struct, frozen=True):
    items: list[ServiceOutbox]


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with what was asked for; 1: it cannot be done, or the shop is away; 2: wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="outbox",
        description="Show what waits in each outbox; of one service, the messages that could not be sent.",
        epilog="Repair the cause first, then: outbox SERVICE --send ID, or outbox SERVICE --all.",
    )
    parser.add_argument("service", nargs="?", help="the parked messages of this one, such as order")
    parser.add_argument("--send", nargs="+", metavar="ID", help="try these messages again")
    parser.add_argument("--all", action="store_true", help="try all of them again")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    if (arguments.send or arguments.all) and arguments.service is None:
        parser.error("--send and --all need a SERVICE")
    if arguments.send and arguments.all:
        parser.error("--send and --all do not go together")
    return as_admin(lambda admin: _run(admin, arguments))


async def _run(admin: Session, arguments: argparse.Namespace) -> int:
    console = wide_console()
    if arguments.service is None:
        answer = await admin.send("GET", "/ops/outbox")
        boxes = msgspec.json.decode(answer.content, type=_Outboxes).items
        write_json(arguments.json, boxes)
        console.print(_boxes_table(boxes))
    elif arguments.send or arguments.all:
        body = {"all": True} if arguments.all else {"ids": arguments.send}
        answer = await admin.send("POST", f"/ops/outbox/{arguments.service}/parked/send", body=body)
        sent = msgspec.json.decode(answer.content, type=SentAgain)
        write_json(arguments.json, sent)
        console.print(f"{sent.sent} messages are tried again.")
        return 0 if arguments.all or sent.sent == len(set(arguments.send)) else 1
    else:
        found = await _parked(admin, arguments.service)
        write_json(arguments.json, found)
        console.print(_parked_table(found) if found else Text("All could be sent.", "bold green"))
    return 0


async def _parked(admin: Session, service: str) -> list[ParkedMessage]:
    found: list[ParkedMessage] = []
    after: dict[str, str] = {}
    while True:
        query = {"limit": PAGE, **after}
        answer = await admin.send("GET", f"/ops/outbox/{service}/parked", query=query)
        page = msgspec.json.decode(answer.content, type=ParkedPage)
        found += page.items
        if page.next is None:
            return found
        after = {"after": page.next}


def _boxes_table(boxes: Sequence[ServiceOutbox]) -> Table:
    table = Table()
    for name in ("service", "waiting", "oldest (s)", "parked"):
        table.add_column(name, justify="left" if name == "service" else "right")
    for box in boxes:
        if box.status is None:
            table.add_row(box.service, "away", "", "")
        else:
            waiting, oldest = f"{box.status.pending:,}", f"{box.status.oldest_seconds:,.0f}"
            table.add_row(box.service, waiting, oldest, f"{box.status.parked:,}")
    return table


def _parked_table(found: Sequence[ParkedMessage]) -> Table:
    table = Table()
    for name in ("message", "event", "about", "octets", "tried", "since (UTC)", "why"):
        table.add_column(name, overflow="fold", justify="right" if name in ("octets", "tried") else "left")
    for one in found:
        table.add_row(
            one.id,
            one.type,
            Text(one.subjects),
            f"{one.size:,}",
            str(one.attempts),
            f"{one.parked_at:%Y-%m-%d %H:%M:%S}",
            Text(one.problem),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
