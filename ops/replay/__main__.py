"""`python -m ops.replay FILE`: real orders of a gift shop, through HTTP, then the books."""

import argparse
import asyncio
import math
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL, add_json_option, admin_password, at_least, wide_console, write_json
from ops.databases import CannotRead
from ops.replay import summary
from ops.replay.catalogue import CannotStock, stock_up
from ops.replay.customers import CannotSignIn, sign_in_all
from ops.replay.money import charge_all, nothing_expires, owed
from ops.replay.retail import Article, BadFile, Invoice, RetailFile, read
from ops.replay.run import Replay
from ops.replay.schedule import first_orders
from ops.shop import Away, Refused, Shop, persist
from ops.verify.books import balance
from shared.ids import new_id


def main(argv: list[str] | None = None) -> int:
    """Exit 0: every order came to an end and the books balance; 1: not so; 2: cannot begin."""
    arguments = _parser().parse_args(argv)
    console = wide_console()
    try:
        file = read(arguments.file)
        return asyncio.run(_replay(arguments, file, current_layout(), console))
    except (BadFile, FleetError) as error:
        print(error, file=sys.stderr)
        return 2
    except Away as error:
        print(f"the shop does not answer ({error}); `./just up` starts it", file=sys.stderr)
        return 1
    except (CannotStock, CannotSignIn, CannotRead, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the orders placed so far stay in the shop", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="replay", description="Replay the orders of an Online Retail CSV.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the CSV, plain or gzipped")
    parser.add_argument(
        "--orders",
        type=partial(at_least, 1),
        metavar="N",
        help="the first N orders only (and the C invoices among them)",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default="max",
        metavar="max|FACTOR",
        help="max (default), or how many times faster than it really was: 3600 replays an hour in a second",
    )
    parser.add_argument(
        "--clients", type=partial(at_least, 1), default=64, metavar="N", help="orders in flight (default 64)"
    )
    parser.add_argument(
        "--pay", choices=["points"], help="pay every order, from points that its customer gets first"
    )
    add_json_option(parser)
    return parser


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not math.isfinite(factor) or factor <= 0:
        raise argparse.ArgumentTypeError(f"must be `max` or a number above 0, not {text!r}")
    return factor


async def _replay(arguments: argparse.Namespace, file: RetailFile, at: Layout, console: Console) -> int:
    invoices = first_orders(file.invoices, arguments.orders)
    unpaid = nullcontext() if arguments.pay else nothing_expires()
    async with unpaid, Shop(at.gateway_url, connections=arguments.clients) as shop:
        replay = await _prepare(shop, file, invoices, arguments, console)
        with _Bar(console, "orders", len(invoices)) as bar:
            replay.step = bar.step
            tally = await replay.run(invoices, arguments.clients)
    document: dict[str, Any] = summary.document(file, tally)
    summary.show(console, document)
    books = await balance(at, console)
    write_json(arguments.json, {**document, "file": arguments.file.name, "books": books.document()})
    return 0 if books.balanced and not tally.unfinished else 1


async def _prepare(
    shop: Shop, file: RetailFile, invoices: list[Invoice], arguments: argparse.Namespace, console: Console
) -> Replay:
    """Customers signed in and given what they will pay, articles on sale; only those the invoices name."""
    admin = await persist(lambda: shop.sign_in(ADMIN_EMAIL, admin_password()), timeout_s=15.0)
    customers = list(dict.fromkeys(invoice.customer for invoice in invoices))
    articles: set[Article] = {
        line.article for invoice in invoices if not invoice.cancels for line in invoice.lines
    }
    with _Bar(console, "customers", len(customers)) as bar:
        sessions = await sign_in_all(shop, customers, bar.step)
    with _Bar(console, "items", len(articles)) as bar:
        items = await stock_up(shop, admin, file.descriptions, file.demand, articles, bar.step)
    run_id = str(new_id())
    if arguments.pay:
        sums = owed(invoices)
        with _Bar(console, "points", sum(amount > 0 for amount in sums.values())) as bar:
            await charge_all(sessions, sums, run_id, bar.step)
    return Replay(run_id, sessions, items, arguments.speed, arguments.pay)


class _Bar:
    """A progress bar with one `step` per thing done."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)


if __name__ == "__main__":
    sys.exit(main())
