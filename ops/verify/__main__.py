"""`python -m ops.verify`: exit 0 if the books balance, 1 if not, 2 if they cannot be read."""

import argparse
import asyncio
import sys

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from ops.commands import add_json_option, wide_console, write_json
from ops.databases import CannotRead
from ops.verify.books import balance


def main(argv: list[str] | None = None) -> int:
    """Read the databases of the local run that the environment describes."""
    parser = argparse.ArgumentParser(
        prog="verify", description="Prove the books across the services' databases."
    )
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    try:
        books = asyncio.run(balance(current_layout(), wide_console()))
    except (CannotRead, FleetError) as error:
        print(error, file=sys.stderr)
        return 2
    write_json(arguments.json, books.document())
    return 0 if books.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
