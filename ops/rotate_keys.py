"""`python -m ops.rotate_keys`: lets a new key sign access tokens, without signing anybody out."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from deploy.local.fleet import current_layout
from deploy.local.layout import Layout
from ops.asking import NO_ANSWER, asking, this_person
from shared.ids import new_id
from user_svc.contracts import KeyRotation, RotateKeys


async def rotate(at: Layout) -> KeyRotation:
    """Ask the user service, for a new key. Raises `NO_ANSWER`."""
    async with asking("rotate-keys", at, person=this_person()) as rpc:
        return await rpc.call(RotateKeys(request_id=new_id()))


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with the new key's id and times; 1 if the user service is away."""
    parser = argparse.ArgumentParser(
        prog="rotate-keys", description="Sign access tokens with a new key; nobody is signed out."
    )
    parser.parse_args(argv)
    try:
        rotation = asyncio.run(rotate(current_layout()))
    except NO_ANSWER as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"Key {rotation.kid} signs from {_said(rotation.signs_from)} on."
        f" The keys before it count until {_said(rotation.others_end_at)}."
    )
    return 0


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%H:%M:%S UTC")


if __name__ == "__main__":
    sys.exit(main())
