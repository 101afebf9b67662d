"""`python -m ops.rebuild`: makes orders, rankings and sales of the read side again from the stored events."""

import argparse
import asyncio
import sys
from collections.abc import Callable

from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.asking import NO_ANSWER, asking, this_person
from query_svc.contracts import GetLag, Lag, RebuildViews

LOOK_S = 0.5


async def rebuild(at: Layout, report: Callable[[Lag], None]) -> Lag:
    """Begin, and follow until the views contain every event. Raises `NO_ANSWER`.

    The service does the work by itself: it goes on when nobody looks, and after a restart.
    """
    async with asking("rebuild", at, person=this_person()) as rpc:
        lag = await rpc.call(RebuildViews())
    async with asking("rebuild", at) as rpc:
        while lag.folded < lag.position:
            await asyncio.sleep(LOOK_S)
            lag = await rpc.call(GetLag())
            report(lag)
    return lag


def main(argv: list[str] | None = None) -> int:
    """Exit 0 when the views are whole again; 1 if the query service is away."""
    parser = argparse.ArgumentParser(
        prog="rebuild", description="Rebuild the views of the read side from the stored events."
    )
    parser.parse_args(argv)
    try:
        lag = asyncio.run(rebuild(current_layout(), _report))
    except NO_ANSWER as error:
        print(f"{error}\nThe query service must run: ./just start query", file=sys.stderr)
        return 1
    print(f"The views are rebuilt from {lag.position:,} events: {lag.orders:,} orders.")
    return 0


def _report(lag: Lag) -> None:
    print(f"{lag.folded:,} of {lag.position:,} events", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
