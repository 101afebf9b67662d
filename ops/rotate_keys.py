"""`python -m ops.rotate_keys`: lets a new key sign access tokens, without signing anybody out."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

import httpx
import msgspec

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from shared.errors import Problem
from shared.ids import new_id
from shared.rpc import Rpc
from user_svc.contracts import KeyRotation, RotateKeys


async def rotate(peers: str) -> KeyRotation:
    """Ask the user service, over HTTP, for a new key. Raises `Problem`."""
    rpc = Rpc("rotate-keys", timeout_s=10.0, peers=peers, breaker_threshold=5, breaker_open_s=5.0)
    try:
        return await rpc.call(RotateKeys(request_id=new_id()))
    finally:
        await rpc.close()


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with the new key's id and times; 1 if the user service is away."""
    parser = argparse.ArgumentParser(
        prog="rotate-keys", description="Sign access tokens with a new key; nobody is signed out."
    )
    parser.parse_args(argv)
    try:
        rotation = asyncio.run(rotate(current_layout().peers))
    except (FleetError, Problem, httpx.HTTPError, msgspec.DecodeError) as error:
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
