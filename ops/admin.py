"""`python -m ops.admin create EMAIL | revoke EMAIL | list`: admins, made by who operates the shop.

A production start seeds nobody, so the first admin comes from here. All is done by calls of the user service,
which audits them with the name of the person at the terminal.
"""

import argparse
import asyncio
import getpass
import secrets
import sys
from collections.abc import AsyncIterator

from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from ops.asking import NO_ANSWER, asking, this_person
from shared.errors import Problem
from shared.ids import new_id
from shared.rpc import Rpc
from user_svc.contracts import ListUsers, Register, Role, SetRoles, UserEntry

PAGE = 200


class CannotDo(Exception):
    """Nothing was changed; the message says why."""


async def create(rpc: Rpc, email: str, password: str | None = None) -> str | None:
    """Make an admin of a user, or of a new one; returns the password of a new one, random unless given."""
    found = await _find(rpc, email)
    if found is not None:
        await rpc.call(SetRoles(user_id=found.id, roles=[*{*found.roles, "admin"}], by=0))
        return None
    password = password or secrets.token_urlsafe(18)
    new = await rpc.call(
        Register(request_id=new_id(), email=email, name="Admin", address="-", password=password)
    )
    await rpc.call(SetRoles(user_id=new.id, roles=["customer", "admin"], by=0))
    return password


async def revoke(rpc: Rpc, email: str) -> None:
    """Take the role from an admin, whose tokens end within seconds; the account stays. Raises `CannotDo`."""
    found = await _find(rpc, email)
    if found is None or "admin" not in found.roles:
        raise CannotDo(f"{email} is no admin; ./just admin list shows who is")
    kept: list[Role] = [role for role in found.roles if role != "admin"] or ["customer"]
    await rpc.call(SetRoles(user_id=found.id, roles=kept, by=0))


async def admins(rpc: Rpc) -> list[UserEntry]:
    """All admins by their ids."""
    return [user async for user in _users(rpc) if "admin" in user.roles]


async def _find(rpc: Rpc, email: str) -> UserEntry | None:
    wanted = email.casefold()
    async for user in _users(rpc):
        if user.email.casefold() == wanted:
            return user
    return None


async def _users(rpc: Rpc) -> AsyncIterator[UserEntry]:
    after: int | None = None
    while True:
        page = await rpc.call(ListUsers(limit=PAGE, after=after))
        for user in page.items:
            yield user
        if page.next is None:
            return
        after = page.next


async def _do(given: argparse.Namespace) -> None:
    async with asking("just admin", current_layout(), person=this_person()) as rpc:
        match given.what:
            case "create":
                asked = getpass.getpass(f"password for {given.email}: ") if given.ask else None
                password = await create(rpc, given.email, asked)
                print(f"{given.email} is an admin")
                if password is not None and asked is None:
                    print(f"password: {password}   (it is shown this once)")
            case "revoke":
                await revoke(rpc, given.email)
                print(f"{given.email} is no admin any more; its tokens end within seconds")
            case _:
                for user in await admins(rpc):
                    print(f"{user.id:>10}  {user.email}  {', '.join(user.roles)}")


def main(argv: list[str] | None = None) -> int:
    """Exit 0 when it is done, 1 if it is not, 2 for arguments that make no sense."""
    parser = argparse.ArgumentParser(prog="./just admin", description="Make admins, and take the role away.")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="create|revoke|list")
    making = kinds.add_parser("create", help="make an admin of a user, or of a new one")
    making.add_argument("email", metavar="EMAIL")
    making.add_argument("--ask", action="store_true", help="ask for a new one's password (default: random)")
    kinds.add_parser("revoke", help="take the role away").add_argument("email", metavar="EMAIL")
    kinds.add_parser("list", help="show all admins")
    try:
        asyncio.run(_do(parser.parse_args(argv)))
    except Problem as problem:
        errors = "".join(f"\n  {error.field}: {error.message}" for error in problem.errors)
        print(f"{problem.detail}{errors}", file=sys.stderr)
        return 1
    except (CannotDo, FleetError, *NO_ANSWER) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
