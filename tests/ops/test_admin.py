"""Who operates the shop makes admins, also the first one, and takes the role away again."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from msgspec.structs import replace

from ops.admin import CannotDo, admins, create, revoke
from shared.rpc import Rpc
from user_svc.contracts import ListUsers, Register, SetRoles, UserEntry, UserId, UserPage


class Users:
    """Stands in for the user service, with pages of one."""

    def __init__(self) -> None:
        self.known: dict[int, UserEntry] = {}
        self.registered: list[Register] = []

    def add(self, email: str, *roles: Any) -> int:
        number = len(self.known) + 1
        self.known[number] = UserEntry(
            id=number,
            email=email,
            name="A",
            role="admin" if "admin" in roles else "customer",
            roles=list(roles),
            state="ACTIVE",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        return number

    async def call(self, call: Any) -> Any:
        match call:
            case ListUsers():
                rest = [one for one in self.known.values() if one.id > (call.after or 0)]
                return UserPage(items=rest[:1], next=rest[0].id if len(rest) > 1 else None)
            case Register():
                self.registered.append(call)
                return UserId(id=self.add(call.email, "customer"))
            case SetRoles():
                self.known[call.user_id] = replace(self.known[call.user_id], roles=call.roles)
                return self.known[call.user_id]
            case _:
                raise AssertionError(call)


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def rpc(users: Users) -> Rpc:
    return cast(Rpc, users)


async def test_the_first_admin_gets_a_password_that_nobody_can_guess(users: Users, rpc: Rpc) -> None:
    password = await create(rpc, "ops@shop.example")
    assert password is not None
    assert len(password) >= 20
    assert [one.password for one in users.registered] == [password]
    assert [one.email for one in await admins(rpc)] == ["ops@shop.example"]


async def test_a_password_that_was_typed_is_the_one(users: Users, rpc: Rpc) -> None:
    assert await create(rpc, "ops@shop.example", "typed by hand") == "typed by hand"
    assert [one.password for one in users.registered] == ["typed by hand"]


async def test_who_is_there_already_keeps_password_and_roles(users: Users, rpc: Rpc) -> None:
    users.add("other@shop.example", "customer")
    users.add("Ops@Shop.example", "customer", "finance")
    assert await create(rpc, "ops@shop.example") is None
    assert users.registered == []
    [admin] = await admins(rpc)
    assert (admin.email, set(admin.roles)) == ("Ops@Shop.example", {"customer", "finance", "admin"})


async def test_the_role_is_taken_and_the_rest_stays(users: Users, rpc: Rpc) -> None:
    users.add("ops@shop.example", "customer", "admin")
    users.add("only@shop.example", "admin")
    for email in ("ops@shop.example", "only@shop.example"):
        await revoke(rpc, email)
    assert {tuple(one.roles) for one in users.known.values()} == {("customer",)}
    with pytest.raises(CannotDo, match="is no admin"):
        await revoke(rpc, "ops@shop.example")
    with pytest.raises(CannotDo, match="is no admin"):
        await revoke(rpc, "nobody@shop.example")
