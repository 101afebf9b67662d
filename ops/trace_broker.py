"""`python -m ops.trace_broker`: every message as the broker passes it on, live (RabbitMQ's firehose).

Tracing costs the broker work, so it is switched on for the time of the run only, and off again at its end
unless somebody else still listens.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote

import httpx
import msgspec
from aio_pika.abc import AbstractIncomingMessage
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.commands import at_least, wide_console
from shared.addresses import AMQP, HTTP, parse
from shared.broker.connecting import connect
from shared.broker.topology import RPC_EXCHANGE

FIREHOSE = "amq.rabbitmq.trace"
_REPLIES = "rpc.reply."
_KEPT = 10_000
"""How many messages may wait for a slow terminal; older ones are dropped rather than filling the broker."""


class Seen(Struct, frozen=True, kw_only=True):
    """One message as the broker passed it on: to an exchange (`published`), or from a queue (`delivered`)."""

    at: datetime
    step: str
    place: str
    key: str
    type: str | None
    app_id: str | None
    correlation_id: str | None
    message_id: str | None
    body: str

    @property
    def is_call(self) -> bool:
        """Whether it is a call or an answer, rather than an event."""
        return self.place == RPC_EXCHANGE or self.place.startswith("rpc.") or self.key.startswith(_REPLIES)


class CannotTrace(Exception):
    """The firehose cannot be opened; the message says why."""


def seen(message: AbstractIncomingMessage) -> Seen:
    """What a message of the firehose tells: its routing key says the step, its headers the rest."""
    step, _, place = (message.routing_key or "").partition(".")
    headers: dict[str, Any] = dict(message.headers)
    properties: dict[str, Any] = dict(headers.get("properties") or {})
    keys = headers.get("routing_keys") or [""]
    return Seen(
        at=datetime.now(UTC),
        step="published" if step == "publish" else "delivered",
        place=place or "(default exchange)",
        key=str(keys[0]),
        type=properties.get("type"),
        app_id=properties.get("app_id"),
        correlation_id=properties.get("correlation_id"),
        message_id=properties.get("message_id"),
        body=message.body.decode(errors="replace"),
    )


def wanted(order: str | None, event: str | None, *, calls: bool) -> Callable[[Seen], bool]:
    """Which messages to show: those about an order, of an event (`order.*` too), with or without calls."""

    def fits(one: Seen) -> bool:
        if one.is_call and not calls:
            return False
        if event is not None and not fnmatchcase(one.type or one.key, event):
            return False
        # A message about several orders has none in its properties, but all in its body.
        return order is None or one.correlation_id == order or order in one.body

    return fits


def main(argv: list[str] | None = None) -> int:
    """Exit 0 at the end (Ctrl-C is one); 1: the broker is away; 2: wrong arguments, or tracing is refused."""
    arguments = _arguments(argv)
    try:
        return asyncio.run(_trace(current_layout(), arguments))
    except (FleetError, CannotTrace) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"the broker does not answer ({error}); `./just up` starts it", file=sys.stderr)
        return 1


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="trace-broker", description="Show messages live as the broker delivers them. Ctrl-C ends it."
    )
    parser.add_argument("--order", metavar="ID", help="only messages about this order (or correlation id)")
    parser.add_argument("--event", metavar="NAME", help="only this event; * stands for anything: 'order.*'")
    parser.add_argument("--calls", action="store_true", help="calls and their answers, too")
    parser.add_argument("--body", action="store_true", help="print whole bodies, indented")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--count", type=lambda text: at_least(1, text), help="end after so many messages")
    parser.add_argument("--seconds", type=lambda text: at_least(1, text), help="end after so many seconds")
    return parser.parse_args(argv)


async def _trace(at: Layout, arguments: argparse.Namespace) -> int:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ending.set)
    fits = wanted(arguments.order, arguments.event, calls=arguments.calls)
    console = wide_console()
    shown = 0
    async with firehose(at) as messages:
        if not arguments.json:
            console.print("Tracing is on; Ctrl-C ends it and switches it off.", style="dim")
        give_up = monotonic() + arguments.seconds if arguments.seconds else None
        while not ending.is_set() and (arguments.count is None or shown < arguments.count):
            one = await _next(messages, ending, give_up)
            if one is None:
                break
            if fits(one):
                _show(console, one, arguments)
                shown += 1
    if not arguments.json:
        console.print(f"Tracing has ended; {shown} messages shown.", style="dim")
    return 0


async def _next(messages: "asyncio.Queue[Seen]", ending: asyncio.Event, give_up: float | None) -> Seen | None:
    """The next message; None when it is time to end."""
    waiting = [asyncio.ensure_future(messages.get()), asyncio.ensure_future(ending.wait())]
    timeout = max(give_up - monotonic(), 0) if give_up is not None else None
    try:
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        found = waiting[0]
        return found.result() if found.done() and isinstance(found.result(), Seen) else None
    finally:
        for task in waiting:
            task.cancel()


@asynccontextmanager
async def firehose(at: Layout) -> "AsyncIterator[asyncio.Queue[Seen]]":
    """All messages from now on. Tracing is off again afterwards, unless somebody else still listens."""
    if at.management_url is None:
        raise CannotTrace(
            "tracing is switched on over the management API: set SHOP_MANAGEMENT_URL"
            " (http://user:password@host:15672)"
        )
    brokers = parse(at.amqp_url, AMQP)
    vhost = unquote(brokers[0].path[1:]) or "/"
    api = f"{parse(at.management_url, HTTP)[0].url().rstrip('/')}/api"
    found: asyncio.Queue[Seen] = asyncio.Queue(_KEPT)
    connection = await connect(brokers, f"trace-broker {os.getpid()}")
    try:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(
            f"trace-broker.{os.getpid()}",
            exclusive=True,
            auto_delete=True,
            arguments={"x-max-length": _KEPT, "x-overflow": "drop-head"},
        )
        for steps in ("publish.#", "deliver.#"):
            await queue.bind(FIREHOSE, routing_key=steps)

        async def take(message: AbstractIncomingMessage) -> None:
            if found.full():
                found.get_nowait()
            found.put_nowait(seen(message))

        tag = await queue.consume(take, no_ack=True)
        await _switch(api, vhost, on=True)
        try:
            yield found
        finally:
            with suppress(Exception):  # it may be gone already, with the broker or the connection
                await queue.cancel(tag)
            if not await _others_listen(api, vhost, queue.name):
                await _switch(api, vhost, on=False)
    finally:
        await connection.close()


async def _switch(api: str, vhost: str, *, on: bool) -> None:
    answer = await _management("PUT", f"{api}/vhosts/{quote(vhost, safe='')}", {"tracing": on})
    if not answer.is_success:
        raise CannotTrace(f"the broker refuses to switch tracing: {answer.status_code} {answer.text}")


async def _others_listen(api: str, vhost: str, own: str) -> bool:
    path = f"{api}/exchanges/{quote(vhost, safe='')}/{FIREHOSE}/bindings/source"
    answer = await _management("GET", path)
    return answer.is_success and any(one["destination"] != own for one in answer.json())


async def _management(method: str, url: str, body: object = None) -> httpx.Response:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return await client.request(method, url, json=body)
    except httpx.HTTPError as error:
        raise CannotTrace(f"the management API does not answer: {type(error).__name__}") from error


def _show(console: Console, one: Seen, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(msgspec.json.encode(one).decode(), flush=True)
        return
    arrow = "→" if one.step == "published" else "←"
    line = Text.assemble(
        (one.at.strftime("%H:%M:%S.%f")[:-3], "dim"),
        f" {arrow} ",
        (f"{one.type or one.key:<28}", "bold"),
        f" {one.step} {'to' if one.step == 'published' else 'from'} {one.place}",
        (f"  by {one.app_id}" if one.app_id else "", "dim"),
        (f"  {one.correlation_id}" if one.correlation_id else "", "cyan"),
    )
    console.print(line, soft_wrap=True)
    if arguments.body:
        console.print(Text(_pretty(one.body)), soft_wrap=True)


def _pretty(body: str) -> str:
    try:
        return msgspec.json.format(body.encode(), indent=2).decode()
    except (msgspec.DecodeError, RecursionError):
        return body


if __name__ == "__main__":
    sys.exit(main())
