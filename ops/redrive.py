"""`python -m ops.redrive`: sends dead letters back to the queues they failed in, and to those alone."""

import argparse
import asyncio
import sys
from time import monotonic

from rich.console import Console
from rich.progress import Progress

from ops.commands import wide_console
from ops.letters import DeadLetters, ask, group_key, letter_id

PATIENCE_S = 60.0
LOOK_S = 0.3


def main(argv: list[str] | None = None) -> int:
    """Exit 0 once all are in their queues; 1 if some are not, or the shop is away; 2: wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="redrive",
        description="Send dead letters back to the queues they failed in: repair the cause first.",
    )
    parser.add_argument("ids", nargs="*", type=letter_id, metavar="ID", help="this letter")
    parser.add_argument("--group", type=group_key, help="all of a group that are DEAD")
    parser.add_argument("--all", action="store_true", help="all that are DEAD")
    arguments = parser.parse_args(argv)
    if sum(map(bool, (arguments.ids, arguments.group, arguments.all))) != 1:
        parser.error("name letters, or --group, or --all: exactly one of these")
    return ask(lambda letters: _run(letters, arguments, wide_console()))


async def _run(letters: DeadLetters, arguments: argparse.Namespace, console: Console) -> int:
    acted = await letters.redrive(ids=arguments.ids or None, group=arguments.group, everything=arguments.all)
    left = await _followed(letters, acted.changed, console)
    console.print(f"{acted.changed - left} sent back, {acted.unchanged} were not DEAD.")
    if left:
        console.print(f"{left} have not reached their queues yet; they will, without another command.")
        return 1
    return 0


async def _followed(letters: DeadLetters, sending: int, console: Console) -> int:
    """Show the progress until all have been sent; returns how many have not after a minute."""
    give_up = monotonic() + PATIENCE_S
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("sending back", total=sending)
        while (left := min(await letters.under_way(), sending)) and monotonic() < give_up:
            progress.update(task, completed=sending - left)
            await asyncio.sleep(LOOK_S)
    return left


if __name__ == "__main__":
    sys.exit(main())
