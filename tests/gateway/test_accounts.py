"""Accounts and notifications over HTTP: what is asked of the user service, and what its answers become."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

import coupon_svc.contracts
import item_svc.contracts
import order_svc.contracts
import payment_svc.contracts
import query_svc.contracts
import user_svc.contracts
from gateway.shop.events import UserNotified, user_notified
from shared.errors import NotFound
from shared.ids import new_id
from shared.messages import Call, KeptOf
from tests.gateway.fakes import FakeRpc, Signer, gateway
from user_svc.contracts import (
    AskEmailProof,
    AskPasswordReset,
    ChangeMe,
    EndSignIn,
    EraseMe,
    FollowNotifications,
    ListNotifications,
    ListSignIns,
    ListUsers,
    NewNotifications,
    Notification,
    NotificationPage,
    Profile,
    ProveEmail,
    ReadNotification,
    ResetPassword,
    SignIn,
    SignInPage,
    UserEntry,
    UserPage,
)

Client = httpx.AsyncClient
Headers = dict[str, str]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ME = Profile(id=2, email="kim@mail.example", name="Kim", address="Seoul", role="customer", roles=["customer"])


def _notification(number: int) -> Notification:
    return Notification(
        id=number,
        kind="order_failed",
        order_id=new_id(),
        reason="out_of_stock",
        amount=None,
        text="Your order could not be fulfilled.",
        created_at=NOW,
        read_at=None,
    )


async def test_what_is_given_of_a_profile_is_changed(client: Client, rpc: FakeRpc, buyer: Headers) -> None:
    rpc.answers[ChangeMe] = lambda _: ME
    response = await client.patch("/users/me", json={"name": "Kim"}, headers=buyer)
    assert response.json() == {
        "id": 2,
        "email": "kim@mail.example",
        "name": "Kim",
        "address": "Seoul",
        "role": "customer",
        "roles": ["customer"],
        "email_proven": False,
    }
    body = {"password": "a new password", "current_password": "the old one"}
    await client.patch("/users/me", json=body, headers=buyer)
    calls = [call for call in rpc.calls if isinstance(call, ChangeMe)]
    assert (calls[0].user_id, calls[0].name, calls[0].password) == (2, "Kim", None)
    assert (calls[1].password, calls[1].current_password) == ("a new password", "the old one")
    assert calls[1].client == "127.0.0.1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"current_password": "alone"}, 422),
        ({"name": 5}, 400),
        ({"name": None}, 400),
        ([], 400),
    ],
)
async def test_a_change_that_says_nothing_is_refused(
    client: Client, rpc: FakeRpc, buyer: Headers, body: Any, status: int
) -> None:
    rpc.answers[ChangeMe] = lambda _: ME
    response = await client.patch("/users/me", json=body, headers=buyer)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert not any(isinstance(call, ChangeMe) for call in rpc.calls)


@pytest.mark.parametrize(
    ("path", "body", "status", "asked"),
    [
        ("password-reset", {"email": "a@b.example"}, 202, AskPasswordReset),
        ("password-reset", {"email": ""}, 202, AskPasswordReset),
        ("password-reset", {"token": "t", "password": "p"}, 204, ResetPassword),
        ("password-reset", {"token": "t"}, 422, None),
        ("password-reset", {"email": "a@b.example", "token": "t"}, 422, None),
        ("password-reset", {}, 422, None),
        ("password-reset", {"email": None}, 400, None),
        ("password-reset", [], 400, None),
        ("email-proof", {"email": "a@b.example"}, 202, AskEmailProof),
        ("email-proof", {"token": "t"}, 204, ProveEmail),
        ("email-proof", {"token": 3}, 400, None),
        ("email-proof", {"email": "a@b.example", "token": "t"}, 422, None),
    ],
)
async def test_letters_and_their_tokens(
    client: Client, rpc: FakeRpc, path: str, body: Any, status: int, asked: type[Call[Any]] | None
) -> None:
    for kind in (AskPasswordReset, ResetPassword, AskEmailProof, ProveEmail):
        rpc.answers[kind] = lambda _: None
    response = await client.post(f"/users/{path}", json=body)
    assert response.status_code == status
    assert [type(call) for call in rpc.calls] == ([asked] if asked else [])


async def test_an_export_is_what_every_service_keeps(client: Client, rpc: FakeRpc, buyer: Headers) -> None:
    kept = KeptOf(tables={"things": [{"id": 1}]}, cut=[])
    exports = [
        contracts.ExportUser
        for contracts in (
            coupon_svc.contracts,
            item_svc.contracts,
            order_svc.contracts,
            payment_svc.contracts,
            query_svc.contracts,
            user_svc.contracts,
        )
    ]
    for export in exports:
        rpc.answers[export] = lambda _: kept
    response = await client.get("/users/me/export", headers=buyer)
    assert response.headers["content-disposition"].startswith("attachment")
    assert set(response.json()["services"]) == {"user", "item", "coupon", "order", "payment", "query"}
    assert all(export(user_id=2) in rpc.calls for export in exports)
    del rpc.answers[exports[0]]
    assert (await client.get("/users/me/export", headers=buyer)).status_code == 503


async def test_an_account_is_deleted_with_its_password(client: Client, rpc: FakeRpc, buyer: Headers) -> None:
    rpc.answers[EraseMe] = lambda _: None
    response = await client.request("DELETE", "/users/me", json={"password": "secret"}, headers=buyer)
    assert response.status_code == 204
    assert rpc.calls[-1] == EraseMe(user_id=2, password="secret", client="127.0.0.1")
    for body, status in (({}, 400), ({"password": 5}, 400)):
        response = await client.request("DELETE", "/users/me", json=body, headers=buyer)
        assert response.status_code == status
    assert (await client.delete("/users/me", headers=buyer)).status_code == 400


async def test_sessions_are_the_users_own_and_one_of_them_is_this_one(
    client: Client, rpc: FakeRpc, signer: Signer
) -> None:
    ids = [UUID(int=2), UUID(int=1)]
    rpc.answers[ListSignIns] = lambda call: SignInPage(
        items=[SignIn(id=one, begun_at=NOW, client="10.0.0.1", used_at=None, expires_at=NOW) for one in ids],
        next=call.after,
    )
    headers = {"Authorization": f"Bearer {signer.token(2, sid=str(ids[1]))}"}
    page = (await client.get(f"/users/me/sessions?limit=2&after={ids[0]}", headers=headers)).json()
    assert [(one["id"], one["current"]) for one in page["items"]] == [
        (str(ids[0]), False),
        (str(ids[1]), True),
    ]
    assert rpc.calls[-1] == ListSignIns(user_id=2, limit=2, after=ids[0])
    assert page["next"] == str(ids[0])
    assert (await client.get("/users/me/sessions?after=x", headers=headers)).status_code == 400

    def end(call: EndSignIn) -> None:
        if call.session_id != ids[0]:
            raise NotFound("You have no such session.")

    rpc.answers[EndSignIn] = end
    assert (await client.delete(f"/users/me/sessions/{ids[0]}", headers=headers)).status_code == 204
    for unknown in (ids[1], "x", "1"):
        assert (await client.delete(f"/users/me/sessions/{unknown}", headers=headers)).status_code == 404


async def test_only_admins_list_users(client: Client, rpc: FakeRpc, buyer: Headers, admin: Headers) -> None:
    entry = UserEntry(
        id=2, email="kim@mail.example", name="Kim", role="customer", state="ACTIVE", created_at=NOW
    )
    rpc.answers[ListUsers] = lambda call: UserPage(items=[entry], next=call.limit)
    assert (await client.get("/users", headers=buyer)).status_code == 403
    assert (await client.get("/users")).status_code == 401
    assert (await client.get("/users?limit=0", headers=admin)).status_code == 400
    page = (await client.get("/users?limit=1", headers=admin)).json()
    assert (page["items"][0]["email"], page["next"]) == ("kim@mail.example", 1)


async def test_notifications_are_the_users_own(client: Client, rpc: FakeRpc, buyer: Headers) -> None:
    def read(call: ReadNotification) -> Notification:
        if call.notification_id != 7:
            raise NotFound("There is no such notification.")
        return _notification(7)

    rpc.answers[ListNotifications] = lambda call: NotificationPage(items=[_notification(7)], next=None)
    rpc.answers[ReadNotification] = read
    assert (await client.get("/users/me/notifications")).status_code == 401
    page = (await client.get("/users/me/notifications", headers=buyer)).json()
    assert [one["id"] for one in page["items"]] == [7]
    assert (await client.post("/users/me/notifications/7/read", headers=buyer)).json()["id"] == 7
    for wrong in ("8", "0", "-1", "x", str(2**63)):
        response = await client.post(f"/users/me/notifications/{wrong}/read", headers=buyer)
        assert response.status_code == 404, wrong
    asked = [call for call in rpc.calls if isinstance(call, (ListNotifications, ReadNotification))]
    assert {call.user_id for call in asked} == {2}


class Stream:
    """A client of an event stream, which may go away; the test client of the others waits for the end."""

    def __init__(self, app: Any, path: str, headers: Headers) -> None:
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._asked = False
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        self.served = asyncio.ensure_future(app(scope, self._receive, self._received.put))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Any:
        """The next ASGI message."""
        async with asyncio.timeout(5):
            return await self._received.get()

    async def text(self) -> str:
        """The next piece of the body."""
        return (await self.next())["body"].decode()

    async def leave(self) -> None:
        """Go away; the answer must end by that."""
        self._gone.set()
        async with asyncio.timeout(5):
            await self.served


async def test_notifications_are_streamed_as_they_come_and_on_from_the_last(
    rpc: FakeRpc, signer: Signer, buyer: Headers
) -> None:
    kept = [_notification(4), _notification(5)]

    def follow(call: FollowNotifications) -> NewNotifications:
        last = max(one.id for one in kept)
        if call.after is None:
            return NewNotifications(items=[], last=last)
        items = [one for one in kept if one.id > (call.after or 0)]
        return NewNotifications(items=items, last=last)

    rpc.answers[FollowNotifications] = follow
    app = gateway(rpc, signer)
    path = "/users/me/notifications/events"
    fresh, back = Stream(app, path, buyer), Stream(app, path, {**buyer, "Last-Event-ID": "4"})
    for stream in (fresh, back):
        start = await stream.next()
        assert start["status"] == 200
        assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert await fresh.text() == "id: 5\nretry: 1000\n\n"
    assert await back.text() == "id: 4\nretry: 1000\n\n"
    assert (await back.text()).startswith("id: 5\nevent: notification\ndata: {")
    kept.append(_notification(6))
    user_notified(UserNotified(user_id=3))
    user_notified(UserNotified(user_id=2))
    for stream in (fresh, back):
        assert (await stream.text()).startswith("id: 6\n")
        await stream.leave()


@pytest.mark.parametrize("last", ["x", "-1", "1.0", "9" * 30])
async def test_an_id_that_never_was_is_refused(
    client: Client, rpc: FakeRpc, buyer: Headers, last: str
) -> None:
    response = await client.get("/users/me/notifications/events", headers={**buyer, "Last-Event-ID": last})
    assert response.status_code == 400
    assert rpc.calls == [] or not any(isinstance(call, FollowNotifications) for call in rpc.calls)


async def test_a_stream_does_not_begin_while_the_service_is_away(client: Client, buyer: Headers) -> None:
    response = await client.get("/users/me/notifications/events", headers=buyer)
    assert response.status_code == 503
    assert "retry-after" in response.headers
