"""`python -m ops.export`: the stored events as NDJSON on stdout, one a line, resumable by position."""

import argparse
import asyncio
import os
import sys
from typing import BinaryIO

import msgspec

from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.asking import NO_ANSWER, asking
from query_svc.contracts import ListEvents

PAGE = 1000
LOOK_S = 1.0


async def export(at: Layout, out: BinaryIO, *, since: int, limit: int | None, follow: bool) -> int:
    """Write the events after a position; returns the position of the last one. Raises `NO_ANSWER`.

    Positions are given in the order of commits, so whoever goes on after the last one misses nothing.
    """
    left = limit
    async with asking("export", at) as rpc:
        while left != 0:
            wanted = PAGE if left is None else min(left, PAGE)
            page = await rpc.call(ListEvents(after=since, limit=wanted))
            for event in page.items:
                out.write(msgspec.json.encode(event) + b"\n")
                since = event.position
            out.flush()
            left = None if left is None else left - len(page.items)
            if page.next is None:
                if not follow:
                    break
                await asyncio.sleep(LOOK_S)
    return since


def main(argv: list[str] | None = None) -> int:
    """Exit 0 after the last event; 1 if the query service is away; 2 for arguments that cannot be."""
    parser = argparse.ArgumentParser(
        prog="export",
        description="Write the stored events as NDJSON, one a line. The last position goes to stderr.",
    )
    parser.add_argument(
        "--since",
        type=_position,
        default=0,
        metavar="POSITION",
        help="events after this one (0: from the first)",
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="at most so many")
    parser.add_argument("--follow", action="store_true", help="go on as events come in, until Ctrl-C")
    arguments = parser.parse_args(argv)
    since: int = arguments.since
    try:
        since = asyncio.run(
            export(
                current_layout(),
                sys.stdout.buffer,
                since=since,
                limit=arguments.limit,
                follow=arguments.follow,
            )
        )
    except NO_ANSWER as error:
        print(f"{error}\nThe query service must run: ./just start query", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read it has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    print(f"Last position: {since}. Go on with --since {since}", file=sys.stderr)
    return 0


def _position(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{text!r} is no position: give a whole number, 0 or above")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events: give a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
