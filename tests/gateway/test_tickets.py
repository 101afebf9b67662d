"""Tickets for event streams: for one user and one path, shortly, once, at whichever gateway."""

from typing import Any, cast

import httpx
import pytest

from gateway.door import tickets
from gateway.door.guards import door_of
from gateway.door.requests import User
from gateway.door.tickets import GOOD_FOR_S, MOST_USED, TicketHeard, Tickets, key_from
from shared.errors import Unauthorized
from tests.gateway.fakes import FakeRpc, Signer, gateway
from user_svc.contracts import FollowNotifications, GetKeys

USER, PATH = User(id=2, roles=frozenset({"customer"}), session="s"), "/users/me/notifications/events"
URL = "amqp://gateway-svc:secret@127.0.0.1:5672/"


def test_a_ticket_says_who_it_is_for_and_counts_once() -> None:
    one, other = Tickets(key_from(URL)), Tickets(key_from(URL))
    made = one.make(USER, PATH, 1000.0)
    taken = other.take(made, PATH, 1010.0)
    assert (taken.user, taken.path) == (USER, PATH)
    with pytest.raises(Unauthorized, match="used"):
        other.take(made, PATH, 1010.0)
    one.note(taken.id, taken.ends, 1010.0)  # as the other tells
    with pytest.raises(Unauthorized, match="used"):
        one.take(made, PATH, 1011.0)


@pytest.mark.parametrize(
    "key",
    [b"", b"another key", key_from("amqp://x:other@h/"), key_from("amqp://h/")],
    ids=["none", "another", "another password's", "made up"],
)
def test_who_has_no_key_makes_no_ticket(key: bytes) -> None:
    with pytest.raises(Unauthorized):
        Tickets(key_from(URL)).take(Tickets(key).make(USER, PATH), PATH)


def test_a_ticket_is_for_its_path_and_its_time() -> None:
    desk = Tickets(b"k" * 32)
    made = desk.make(USER, PATH, 1000.0)
    for text, path, now in (
        (made, "/orders/1/events", 1000.0),
        (made, PATH, 1000.0 + GOOD_FOR_S),
        (made, PATH, 900.0),
        (made[:-2], PATH, 1000.0),
        ("A" + made[1:], PATH, 1000.0),
        ("", PATH, 1000.0),
        ("%", PATH, 1000.0),
        ("x" * 5000, PATH, 1000.0),
    ):
        with pytest.raises(Unauthorized):
            desk.take(text, path, now)
    desk.take(made, PATH, 1029.0)


def test_used_ones_are_forgotten_when_they_have_ended() -> None:
    desk = Tickets(b"k" * 32)
    for number in range(100):
        desk.note(str(number), 1000.0 + number, 1000.0)
    desk.note("last", 5000.0, 1100.0)
    assert list(desk._used) == ["last"]
    desk._used = {str(number): 2000.0 for number in range(MOST_USED)}
    desk.note("more", 2000.0, 1950.0)
    assert len(desk._used) == MOST_USED


async def test_a_browser_opens_a_stream_by_its_address() -> None:
    signer, rpc = Signer(), FakeRpc()
    rpc.answers[GetKeys] = lambda _: signer.keys()
    app = gateway(rpc, signer)
    asked: list[Any] = []

    def follow(call: FollowNotifications) -> Any:
        asked.append(call)
        raise Unauthorized("far enough")  # past the door, which is all that is asked here

    rpc.answers[FollowNotifications] = follow
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        assert (await client.post("/stream-tickets", json={"path": PATH})).status_code == 401
        for wrong in ("/users/me", "x", "/a b/events", "//evil.test/" + "x" * 300 + "/events"):
            refused = await client.post("/stream-tickets", json={"path": wrong}, headers=signer.bearer(2))
            assert refused.status_code == 422
        made = await client.post("/stream-tickets", json={"path": PATH}, headers=signer.bearer(2))
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        ticket = made.json()["ticket"]
        opened = await client.get(f"{PATH}?ticket={ticket}&last_event_id=7")
        assert opened.json()["detail"] == "far enough"
        assert (asked[-1].user_id, asked[-1].after) == (2, 7)
        again = await client.get(f"{PATH}?ticket={ticket}")
        assert "has been used" in again.json()["detail"]
        other = (await client.post("/stream-tickets", json={"path": PATH}, headers=signer.bearer(2))).json()
        elsewhere = await client.get(f"/users/me?ticket={other['ticket']}")
        assert elsewhere.status_code == 401
        bad = await client.get(f"{PATH}?ticket={other['ticket']}&last_event_id=x")
        assert bad.status_code == 400
        third = (await client.post("/stream-tickets", json={"path": PATH}, headers=signer.bearer(2))).json()
        said = door_of(app).tickets._read(third["ticket"])
        assert said is not None
        tickets.ticket_used(TicketHeard(ticket=said.id, ends=said.ends))
        assert "used" in (await client.get(f"{PATH}?ticket={third['ticket']}")).json()["detail"]
