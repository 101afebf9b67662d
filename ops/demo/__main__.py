"""`python -m ops.demo`: starts the shop, drives orders of every outcome through it, and proves the books."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping

from rich.console import Console

from deploy.local import fleet
from deploy.local.errors import FleetError
from deploy.local.layout import MANAGEMENT_UNKNOWN, Layout, layout
from ops.commands import ADMIN_EMAIL, add_json_option, admin_password, wide_console, write_json
from ops.databases import CannotRead
from ops.demo.accounts import ACCOUNTS
from ops.demo.browsing import BROWSING
from ops.demo.card_payments import CARD_PAYMENTS
from ops.demo.dead_letters import DEAD_LETTERS
from ops.demo.everyday import EVERYDAY
from ops.demo.faults import FAULTS
from ops.demo.figures import FIGURES
from ops.demo.following import FOLLOWING
from ops.demo.hostile import HOSTILE
from ops.demo.payments import PAYMENTS
from ops.demo.scenario import Outcome, Scenario, play
from ops.demo.stage import Stage
from ops.demo.table import table
from ops.shop import Away, Refused, Shop, persist
from ops.verify.books import balance

SCENARIOS = (
    *EVERYDAY,
    *ACCOUNTS,
    *BROWSING,
    *PAYMENTS,
    *CARD_PAYMENTS,
    *FOLLOWING,
    *FIGURES,
    *DEAD_LETTERS,
    *HOSTILE,
    *FAULTS,
)


def main(argv: list[str] | None = None) -> int:
    """Exit 0 only if every order came out as it must and the books balance."""
    parser = argparse.ArgumentParser(prog="demo", description="Show the shop with orders of every outcome.")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    console = wide_console()
    try:
        at = layout()
        if at.private_shop:
            at = fleet.up(keep_settings=True, report=console.print)
        outcomes, document = asyncio.run(_demo(at, console))
    except FleetError as error:
        print(error, file=sys.stderr)
        return 2
    except (Away, Refused, CannotRead) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; `./just up` starts whatever the demo had stopped", file=sys.stderr)
        return 130
    write_json(arguments.json, document)
    _next_steps(console, at, outcomes)
    return 0 if document["met"] else 1


async def _demo(at: Layout, console: Console) -> tuple[list[Outcome], Mapping[str, object]]:
    async with Shop(at.gateway_url) as shop:
        admin = await persist(lambda: shop.sign_in(ADMIN_EMAIL, admin_password()), timeout_s=15.0)
        stage = Stage(shop, admin, os.environ.get("SHOP_PG_URL") or at.outside_url("pg"))
        outcomes: list[Outcome] = []
        played, left_out = playable(at)
        with console.status("") as status:
            for scenario in played:
                status.update(scenario.tried)
                outcome = await play(scenario, stage)
                outcomes.append(outcome)
                if not console.is_terminal:
                    console.print(f"{'ok' if outcome.met else 'NO'}  {scenario.tried}", highlight=False)
    console.print(table(outcomes))
    for scenario in left_out:
        console.print(
            f"left out: {scenario.tried} (the {scenario.stops} is not run from here)", highlight=False
        )
    books = await balance(at, console)
    met = all(outcome.met for outcome in outcomes)
    document = {
        "met": met and books.balanced,
        "scenarios": [outcome.document() for outcome in outcomes],
        "left_out": [scenario.tried for scenario in left_out],
        "books": books.document(),
    }
    return outcomes, document


def playable(at: Layout) -> tuple[list[Scenario], list[Scenario]]:
    """What can be played on this shop, and what would have to stop servers or services that are not ours."""
    own = {"broker": at.private_broker, "database": at.private_database}
    played = [one for one in SCENARIOS if one.stops is None or own.get(one.stops, at.private_shop)]
    return played, [scenario for scenario in SCENARIOS if scenario not in played]


def _next_steps(console: Console, at: Layout, outcomes: list[Outcome]) -> None:
    missed = sum(not outcome.met for outcome in outcomes)
    if missed:
        console.print(
            f"{missed} of {len(outcomes)} scenarios did not come out as they must.", style="bold red"
        )
    else:
        console.print(f"All {len(outcomes)} scenarios came out as they must.", style="bold green")
    order = next((number for outcome in outcomes for number in outcome.record.orders), "ORDER")
    ours = (
        "\n  ./just ps          what runs"
        "\n  ./just open        every address"
        "\n  ./just down        stop everything; data stays"
    )
    console.print(
        f"\nThe shop keeps running at {at.gateway_url} (API documentation: {at.gateway_url}/docs)"
        f"\nThe broker's management UI: {at.management_page or MANAGEMENT_UNKNOWN}"
        "\n\nWhat to try next:"
        f"\n  ./just trace {order}   the saga of one order, step by step"
        f"{ours if at.private_shop else ''}",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
