"""`python -m ops.payments`: the payments that need a person; what became of one; who said so of others."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import cast, get_args
from uuid import UUID

from rich.table import Table
from rich.text import Text

from ops.as_admin import as_admin
from ops.attention import Deed, Payments
from ops.commands import add_json_option, wide_console, write_json
from payment_svc.contracts import OperatorPayment, Outcome, PaymentStatus

STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LONGEST_REASON = 200


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with what was asked for; 1: it cannot be done, or the shop is away; 2: wrong arguments."""
    arguments = _arguments(argv)
    return as_admin(lambda admin: _run(Payments(admin), arguments))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="payments",
        description="List the payments that need a person, or others by status; say what became of one.",
        epilog="Close: payments --resolve ID --as returned --reason 'seen on the statement'."
        " returned: the payer has it back; kept: it stays with the shop; not_charged: it never was taken.",
    )
    parser.add_argument("--status", type=_one_of(STATUSES), metavar="S", help="those that stand so")
    parser.add_argument("--resolve", type=_payment_id, metavar="ID", help="close this payment")
    parser.add_argument("--as", dest="outcome", type=_one_of(OUTCOMES), help="what became of its money")
    parser.add_argument("--reason", help="how you know, or why")
    parser.add_argument("--audit", action="store_true", help="who did what about money, the latest 100")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    chosen = [name for name in ("status", "resolve", "audit") if getattr(arguments, name)]
    if len(chosen) > 1:
        parser.error(f"--{chosen[0]} and --{chosen[1]} do not go together")
    if arguments.resolve is None and (arguments.outcome or arguments.reason is not None):
        parser.error("--as and --reason are for --resolve")
    if arguments.resolve is not None:
        if not arguments.outcome:
            parser.error(f"--resolve needs --as {'|'.join(OUTCOMES)}")
        arguments.reason = (arguments.reason or "").strip()
        if not 1 <= len(arguments.reason) <= LONGEST_REASON:
            parser.error(f"--resolve needs --reason of 1 to {LONGEST_REASON} characters")
    return arguments


async def _run(payments: Payments, arguments: argparse.Namespace) -> int:
    console = wide_console()
    if arguments.resolve is not None:
        outcome = cast(Outcome, arguments.outcome)
        payment = await payments.resolve(arguments.resolve, outcome, arguments.reason)
        write_json(arguments.json, payment)
        console.print(f"{payment.id} is closed as {outcome}: {payment.status}, {payment.amount:,} won.")
    elif arguments.audit:
        deeds = await payments.deeds()
        write_json(arguments.json, deeds)
        console.print(_deeds_table(deeds) if deeds else "Nobody has done anything about money yet.")
    else:
        status: PaymentStatus = arguments.status or "NEEDS_ATTENTION"
        found = await payments.that_stand(status)
        write_json(arguments.json, found)
        console.print(_payments_table(found) if found else _none(status))
    return 0


def _none(status: PaymentStatus) -> Text:
    if status == "NEEDS_ATTENTION":
        return Text("No payment needs anybody.", "bold green")
    return Text(f"No payment is {status}.")


def _payments_table(payments: Sequence[OperatorPayment]) -> Table:
    table = Table()
    for name in ("payment", "order", "user", "by", "won", "given back", "since (UTC)", "what was said"):
        table.add_column(name, overflow="fold", justify="right" if name in ("won", "given back") else "left")
    for one in payments:
        table.add_row(
            str(one.id),
            str(one.order_id or "points"),
            str(one.user_id),
            one.method,
            f"{one.amount:,}",
            f"{one.refunded:,}",
            f"{one.changed_at:%Y-%m-%d %H:%M:%S}",
            Text(_said(one)),
        )
    return table


def _said(payment: OperatorPayment) -> str:
    """What the payment gateway said, and what a person said of that; never what names a card."""
    details = [f"{name} {value}" for name, value in payment.details.items() if "key" not in name.lower()]
    closed = payment.resolution
    parts = [
        payment.reason or "",
        ", ".join(details),
        f"closed as {closed.outcome} by user {closed.by}: {closed.reason}" if closed else "",
        f"looked at next {payment.ask_due_at:%H:%M:%S}" if payment.ask_due_at else "",
    ]
    return "; ".join(part for part in parts if part) or "-"


def _deeds_table(deeds: Sequence[Deed]) -> Table:
    table = Table()
    for name in ("at (UTC)", "user", "what", "to what", "why", "details"):
        table.add_column(name, overflow="fold")
    for one in deeds:
        details = {name: value for name, value in (one.details or {}).items() if name != "reason"}
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            str(one.by),
            one.action,
            one.target,
            Text(one.reason or "-"),
            Text(", ".join(f"{name} {value}" for name, value in details.items()) or "-"),
        )
    return table


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    """One of some words, for argparse; its own `choices` would print them all in the usage."""

    def read(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return read


def _payment_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no payment's id: `./just payments` shows them"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
