"""`python -m ops.call SERVICE NAME JSON`: makes a call as the operator, over HTTP, and prints the answer."""

import argparse
import asyncio
import os
import sys

import msgspec

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from deploy.local.layout import Layout, layout
from deploy.local.tls import operator_files
from ops.asking import operator_key, this_person
from shared.errors import OutcomeUnknown, ProblemDetails, Unavailable
from shared.ids import new_text_id
from shared.rpc import wire
from shared.rpc.credentials import Signer
from shared.rpc.http import HttpCalls, NobodyThere

WAIT_S = 10.0
_EXAMPLE = """write one, such as '{"ids": [1, 2]}', or {} for none"""


class CannotCall(Exception):
    """No call was made; the message says why, and what is allowed."""


async def make_call(at: Layout, service: str, name: str, arguments: bytes, wait_s: float) -> wire.Outcome:
    """The outcome of one call. Raises `CannotCall`, FleetError, and `Unavailable` for an unknown outcome."""
    known = sorted(one.name for one in at.services if not one.public and not one.outside)
    if service not in known:
        raise CannotCall(f"there is no service {service!r} that takes calls; there are {', '.join(known)}")
    signer = Signer(lambda: operator_key(at), person=this_person())
    calls = HttpCalls(at.peers, signer, operator_files() if "https://" in at.peers else None)
    request = wire.Request(
        id=new_text_id(),
        call=name if name.startswith(f"{service}.") else f"{service}.{name}",
        left_ms=round(wait_s * 1000),
        data=msgspec.Raw(arguments),
    )
    try:
        return await calls.call(service, request)
    except NobodyThere as nobody:
        raise CannotCall(
            f"the {service} service does not answer; `./just start {service}` starts it"
        ) from nobody
    finally:
        await calls.close()


def read_arguments(text: str) -> bytes:
    """The arguments of a call: one JSON object. Raises `CannotCall`."""
    try:
        arguments = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise CannotCall(
            f"the arguments are no JSON: {error}; write an object, such as '{{\"ids\": [1, 2]}}'"
        ) from None
    if not isinstance(arguments, dict):
        raise CannotCall(
            "the arguments are no JSON object; write one, such as '{\"ids\": [1, 2]}', or {} for none"
        )
    return text.encode()


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with the answer; 1 with the problem it met, or if nobody knows; 2 if no call was made."""
    parser = argparse.ArgumentParser(
        prog="./just call",
        description="Make a call of a service as the operator, and print the answer; audited.",
    )
    parser.add_argument("service", metavar="SERVICE", help="such as item")
    parser.add_argument(
        "name", metavar="NAME", help="of the call, such as get_many; a wrong one lists those there are"
    )
    parser.add_argument(
        "arguments", metavar="JSON", nargs="?", default="{}", help="its arguments (default: {})"
    )
    parser.add_argument("--wait", type=float, default=WAIT_S, metavar="SECONDS", help=f"default: {WAIT_S:g}")
    given = parser.parse_args(argv)
    try:
        arguments = read_arguments(given.arguments)
        outcome = asyncio.run(make_call(_where(), given.service, given.name, arguments, given.wait))
    except (CannotCall, FleetError) as error:
        print(error, file=sys.stderr)
        return 2
    except (OutcomeUnknown, Unavailable) as error:
        print(error.detail, file=sys.stderr)
        return 1
    if outcome.problem is not None:
        print(_said(outcome.problem), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.format(bytes(outcome.data), indent=2) + b"\n")
    return 0


def _where() -> Layout:
    """The run that is on, or what the terminal declares beside it."""
    return layout() if os.environ.get("SHOP_SERVICES_FILE") else current_layout()


def _said(problem: ProblemDetails) -> str:
    lines = [f"{problem.title} ({problem.status}): {problem.detail}"]
    lines += [f"  {error.field}: {error.message}" for error in problem.errors]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
