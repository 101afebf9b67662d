"""`python -m ops.dead`: the dead letters, by cause; one of them whole; or discarded, for a reason."""

import argparse
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.commands import wide_console
from ops.letters import DeadLetters, ask, group_key, letter_id
from query_svc.dead_letters.contracts import DeadLetter, DeadLetterDetails, DeadLetterGroup


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with what was asked for; 1: there is no such letter, or the shop is away; 2: wrong arguments."""
    arguments = _arguments(argv)
    return ask(lambda letters: _run(letters, arguments))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dead",
        description="Show the dead letters by cause, those of a group, or one of them with its body.",
        epilog="Discard: ./just dead --discard 17 18 --reason 'made by a test'. Send back: ./just redrive 17",
    )
    parser.add_argument("ids", nargs="*", type=letter_id, metavar="ID", help="show (or discard) this letter")
    parser.add_argument("--group", type=group_key, help="the letters of one group")
    parser.add_argument("--all", action="store_true", help="also those that were redriven or discarded")
    parser.add_argument("--discard", action="store_true", help="discard these letters; needs --reason")
    parser.add_argument("--reason", help="why they are discarded")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    if arguments.ids and arguments.group:
        parser.error("name letters or a group, not both")
    if arguments.discard and not (arguments.ids or arguments.group):
        parser.error("--discard needs the ids of letters, or --group")
    if arguments.discard and not (arguments.reason or "").strip():
        parser.error("--discard needs --reason")
    if arguments.reason and not arguments.discard:
        parser.error("--reason is for --discard")
    if len(arguments.ids) > 1 and not arguments.discard:
        parser.error("one letter at a time can be shown")
    return arguments


async def _run(letters: DeadLetters, arguments: argparse.Namespace) -> int:
    console = wide_console()
    if arguments.discard:
        acted = await letters.discard(arguments.reason, ids=arguments.ids or None, group=arguments.group)
        _print(
            console,
            arguments.json,
            acted,
            Text(f"{acted.changed} discarded, {acted.unchanged} were not DEAD."),
        )
    elif arguments.ids:
        letter = await letters.one(arguments.ids[0])
        _print(console, arguments.json, letter, *_whole(letter))
    elif arguments.group:
        found = await letters.of_group(arguments.group, everything=arguments.all)
        _print(console, arguments.json, found, _letters_table(found))
    else:
        groups = await letters.groups(everything=arguments.all)
        shown = _groups_table(groups) if groups else Text("No dead letter waits.", "bold green")
        _print(console, arguments.json, groups, shown)
    return 0


def _print(console: Console, as_json: bool, document: object, *shown: Table | Text) -> None:
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return
    for part in shown:
        console.print(part, soft_wrap=isinstance(part, Text))


def _groups_table(groups: Sequence[DeadLetterGroup]) -> Table:
    table = Table(title="Dead letters", title_justify="left")
    for name in ("group", "queue", "exception"):
        table.add_column(name, overflow="fold")
    for name in ("dead", "redriving", "redriven", "discarded", "failed again"):
        table.add_column(name, justify="right")
    for name in ("first seen (UTC)", "last seen (UTC)", "newest", "says"):
        table.add_column(name, overflow="fold")
    for one in groups:
        counts = (one.dead, one.redriving, one.redriven, one.discarded, one.failed_redrives)
        table.add_row(
            one.group,
            one.queue,
            Text(one.exception),
            *map(str, counts),
            f"{one.first_seen:%m-%d %H:%M:%S}",
            f"{one.last_seen:%m-%d %H:%M:%S}",
            str(one.sample.id),
            Text(one.sample.message[:120]),
        )
    return table


def _letters_table(letters: Sequence[DeadLetter]) -> Table:
    table = Table()
    for name in ("id", "state", "event", "order or cause", "attempts", "failed again", "seen (UTC)", "says"):
        table.add_column(name, overflow="fold")
    for one in letters:
        table.add_row(
            str(one.id),
            one.state,
            Text(one.event or "-"),
            Text(one.correlation_id or "-"),
            str(one.attempts),
            str(one.failed_redrives),
            f"{one.seen_at:%m-%d %H:%M:%S}",
            Text(one.problem or one.message[:160]),
        )
    return table


def _whole(letter: DeadLetterDetails) -> list[Text]:
    facts = {
        "queue": letter.queue,
        "handler": letter.handler or "-",
        "event": letter.event or "-",
        "event id": letter.event_id or "-",
        "order or cause": letter.correlation_id or "-",
        "exception": f"{letter.exception}: {letter.message}",
        "attempts": f"{letter.attempts}, after {letter.failed_redrives} failed redrives",
        "seen": f"{letter.seen_at:%Y-%m-%d %H:%M:%S} UTC",
        "headers": msgspec.json.encode(letter.headers).decode(),
    }
    lines = [Text(f"Dead letter {letter.id} of group {letter.group}: {letter.state}", "bold")]
    lines += [Text(f"  {name:<15} {said}") for name, said in facts.items()]
    if letter.problem:
        lines.append(Text(f"  {'problem':<15} {letter.problem}"))
    lines += [
        Text(
            f"  {entry.at:%m-%d %H:%M:%S} UTC  user {entry.by}: {entry.action} {entry.reason or ''}".rstrip()
        )
        for entry in letter.actions
    ]
    return [*lines, Text("Body (base64):" if letter.encoding == "base64" else "Body:"), Text(_pretty(letter))]


def _pretty(letter: DeadLetterDetails) -> str:
    try:
        return msgspec.json.format(letter.body.encode(), indent=2).decode()
    except (msgspec.DecodeError, RecursionError):
        return letter.body


if __name__ == "__main__":
    sys.exit(main())
