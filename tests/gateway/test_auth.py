"""Who may come in: tokens and keys, roles, the rate limit."""

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest

from gateway.door import auth, ended
from gateway.door.auth import LEEWAY_S, TokenReader
from gateway.door.rate_limit import MOST_CALLERS, RateLimit, parse_rate
from gateway.service import service
from gateway.settings import GatewaySettings
from order_svc.contracts import ListOrders, OrderPage
from payment_svc.contracts import Balance, GetBalance
from shared.errors import TooMany, Unauthorized, Unavailable
from tests.gateway.fakes import AUDIENCE, ISSUER, FakeRpc, Signer
from user_svc.contracts import Ended, GetKeys, KeySet

Client = httpx.AsyncClient


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(autouse=True)
def answers(rpc: FakeRpc) -> None:
    """Enough services to be asked something."""
    rpc.answers[GetBalance] = lambda call: Balance(balance=call.user_id)
    rpc.answers[ListOrders] = lambda _: OrderPage(items=[], next=None)


async def test_a_token_says_who_asks(client: Client, signer: Signer) -> None:
    response = await client.get("/points", headers=bearer(signer.token(77)))
    assert (response.status_code, response.json()) == (200, {"balance": 77})


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer x", "Bearer a.b.c", "x"])
async def test_what_is_no_token_is_401(client: Client, header: str) -> None:
    response = await client.get("/points", headers={"Authorization": header})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


async def test_no_header_is_401(client: Client) -> None:
    assert (await client.get("/points")).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - LEEWAY_S - 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"sub": None},
        {"sub": "me"},
        {"sub": 2},
        {"roles": None, "role": None},
        {"roles": ["root"]},
        {"roles": "admin"},
        {"iss": "somebody"},
        {"iss": None},
        {"aud": None},
        {"aud": "another shop"},
        {"aud": ["another shop"]},
        {"aud": 3},
        {"sid": 3},
        {"gen": "1"},
        {"gen": None, "sid": ["x"]},
        {"nbf": int(time.time()) + 600},
        {"iat": int(time.time()) + 600},
        {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200},
    ],
)
async def test_a_signed_token_with_wrong_claims_is_401(
    client: Client, signer: Signer, claims: dict[str, Any]
) -> None:
    response = await client.get("/points", headers=bearer(signer.token(2, **claims)))
    assert response.status_code == 401


@pytest.mark.parametrize("claims", [{"iat": 4}, {"nbf": 4}, {"exp": -4}])
async def test_clocks_of_two_hosts_may_differ_by_some_seconds(
    client: Client, signer: Signer, claims: dict[str, int]
) -> None:
    moments: dict[str, Any] = {name: int(time.time()) + seconds for name, seconds in claims.items()}
    response = await client.get("/points", headers=bearer(signer.token(2, **moments)))
    assert response.status_code == 200


async def test_forged_tokens_are_401(client: Client, signer: Signer) -> None:
    claims = {"sub": "1", "role": "admin", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600}
    other = Signer(signer.key_id)
    forged = [
        other.token(1, "admin"),
        jwt.encode(claims, "", algorithm="none", headers={"kid": signer.key_id}),
        jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": signer.key_id}),
        jwt.encode(claims, "x" * 32, algorithm="HS256"),
        signer.token(2)[:-4] + "AAAA",
        "x" * 5000,
    ]
    for token in forged:
        assert (await client.get("/points", headers=bearer(token))).status_code == 401


async def test_a_token_stops_counting_when_it_expires_although_it_was_seen_before(
    client: Client, signer: Signer
) -> None:
    token = signer.token(2, exp=int(time.time()) - LEEWAY_S + 1)
    assert (await client.get("/points", headers=bearer(token))).status_code == 200
    await asyncio.sleep(1.1)  # the token itself must age; its times are whole seconds
    response = await client.get("/points", headers=bearer(token))
    assert response.status_code == 401
    assert "expired" in response.json()["detail"]


async def test_keys_are_fetched_once_for_many_at_once(rpc: FakeRpc, signer: Signer) -> None:
    async def slowly(_: Any) -> KeySet:
        await asyncio.sleep(0.01)
        return signer.keys()

    rpc.answers[GetKeys] = slowly
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    users = await asyncio.gather(*(reader.user(f"Bearer {signer.token(id_)}") for id_ in range(1, 21)))

    assert [user.id for user in users] == list(range(1, 21))
    assert len(rpc.calls) == 1


async def test_the_gateway_waits_for_no_user_service_to_start(
    rpc: FakeRpc, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "ASK_AGAIN_S", 0)
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await reader.user(f"Bearer {signer.token()}")
    rpc.answers[GetKeys] = lambda _: signer.keys()

    assert (await reader.user(f"Bearer {signer.token()}")).id == 2


async def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_each_invented_one(
    rpc: FakeRpc, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Signer("key-2")
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    rpc.answers[GetKeys] = lambda _: signer.keys()
    await reader.user(f"Bearer {signer.token()}")
    rpc.answers[GetKeys] = lambda _: KeySet(issuer=ISSUER, keys=[*signer.keys().keys, *newer.keys().keys])

    with pytest.raises(Unauthorized):  # asked just now: not again for a key nobody knows
        await reader.user(f"Bearer {newer.token()}")
    assert len(rpc.calls) == 1
    monkeypatch.setattr(auth, "ASK_AT_MOST_EVERY_S", 0)
    assert (await reader.user(f"Bearer {newer.token(5)}")).id == 5
    assert (await reader.user(f"Bearer {signer.token(6)}")).id == 6


async def test_a_user_service_that_goes_away_signs_nobody_out(
    rpc: FakeRpc, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    rpc.answers[GetKeys] = lambda _: signer.keys()
    await reader.user(f"Bearer {signer.token()}")
    del rpc.answers[GetKeys]
    monkeypatch.setattr(auth, "KEYS_TRUSTED_S", 0)

    assert (await reader.user(f"Bearer {signer.token(9)}")).id == 9


async def test_a_new_key_while_the_user_service_is_away_is_503_and_not_asked_for_by_everybody(
    client: Client, rpc: FakeRpc, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.get("/points", headers=signer.bearer(2))).status_code == 200
    newer = Signer("key-2")
    keys_now = rpc.answers.pop(GetKeys)
    monkeypatch.setattr(auth, "ASK_AT_MOST_EVERY_S", 0)
    answers = await asyncio.gather(*(client.get("/points", headers=newer.bearer(3)) for _ in range(5)))

    assert {answer.status_code for answer in answers} == {503}
    assert int(answers[0].headers["retry-after"]) > 0
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert len([call for call in rpc.calls if isinstance(call, GetKeys)]) == 2
    assert (await client.get("/points", headers=signer.bearer(4))).status_code == 200

    rpc.answers[GetKeys] = keys_now
    monkeypatch.setattr(auth, "ASK_AGAIN_S", 0)
    assert (await client.get("/points", headers=newer.bearer(3))).status_code == 401
    rpc.answers[GetKeys] = lambda _: KeySet(issuer=ISSUER, keys=[*signer.keys().keys, *newer.keys().keys])
    assert (await client.get("/points", headers=newer.bearer(3))).status_code == 200


async def test_a_token_that_names_no_key_is_401_whoever_is_away(
    client: Client, rpc: FakeRpc, signer: Signer
) -> None:
    del rpc.answers[GetKeys]
    nameless = jwt.encode({"sub": "2"}, "x" * 32, algorithm="HS256")
    assert (await client.get("/points", headers=bearer(nameless))).status_code == 401
    assert rpc.calls == []


async def test_remembered_tokens_are_bounded(
    rpc: FakeRpc, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MOST_TOKENS", 3)
    rpc.answers[GetKeys] = lambda _: signer.keys()
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    for user_id in range(1, 9):
        await reader.user(f"Bearer {signer.token(user_id)}")

    assert len(reader._known) == 3


# Tokens that end before their time --------------------------------------------------------------------------

SESSION = UUID("0193e6a0-0000-7000-8000-00000000000a")


def _ends(user_id: int, session_id: UUID | None, below: int) -> None:
    """What the tap does with such an event."""
    session = str(session_id) if session_id else None
    ended.tokens_ended(ended.TokensEnded(user_id=user_id, session_id=session, below=below))


@pytest.mark.parametrize(
    ("claims", "what", "counts"),
    [
        ({"sid": str(SESSION), "gen": 3}, (2, SESSION, 0), False),
        ({"sid": str(UUID(int=1)), "gen": 3}, (2, SESSION, 0), True),
        ({"gen": 3}, (2, None, 4), False),
        ({"gen": 3}, (2, None, 3), True),
        ({"gen": 4}, (2, None, 4), True),
        ({"gen": 0}, (9, None, 4), True),
        ({}, (2, None, 1), False),
        ({}, (2, SESSION, 0), True),
    ],
)
@pytest.mark.parametrize("seen", [True, False], ids=["remembered", "fresh"])
async def test_an_ended_token_does_not_count_at_once(
    client: Client, signer: Signer, claims: dict[str, Any], what: Any, counts: bool, seen: bool
) -> None:
    headers = bearer(signer.token(2, **claims))
    other = bearer(signer.token(5))
    assert (await client.get("/points", headers=headers if seen else other)).status_code == 200
    _ends(*what)
    _ends(what[0], what[1], max(0, what[2] - 1))  # an older event that comes late brings nothing back
    assert (await client.get("/points", headers=headers)).status_code == (200 if counts else 401)
    assert (await client.get("/points", headers=other)).status_code == 200


def _listing(signer: Signer, ends: list[Ended], page: int = 2) -> Any:
    """A user service that has such a list, and gives it in short pages."""

    def answer(call: GetKeys) -> KeySet:
        after = [one for one in ends if call.ended_after is not None and one.id > call.ended_after]
        known = signer.keys()
        return KeySet(
            issuer=known.issuer,
            audience=known.audience,
            keys=known.keys,
            ended=after[:page],
            more=len(after) > page,
        )

    return answer


async def test_what_no_event_told_is_found_by_asking(rpc: FakeRpc, signer: Signer) -> None:
    ends = [Ended(id=number, user_id=100 + number, session_id=None, below=1) for number in range(1, 6)]
    rpc.answers[GetKeys] = _listing(signer, ends)
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    with pytest.raises(Unauthorized, match="ended"):  # ended before this process began
        await reader.user(f"Bearer {signer.token(105)}")
    token = f"Bearer {signer.token(2)}"
    assert (await reader.user(token)).id == 2

    ends.append(Ended(id=6, user_id=2, session_id=None, below=1))
    await reader.keep_up()
    with pytest.raises(Unauthorized, match="ended"):
        await reader.user(token)


async def test_a_place_is_asked_from_again_until_nothing_can_come_before_it() -> None:
    known = ended.EndedTokens()
    places = []
    for now, place in [(0.0, 5), (20.0, 7), (40.0, 9), (61.0, 9), (81.0, 11)]:
        places.append(known.ask_from(now))
        known.got_to(place, now)
    assert places == [0, 0, 0, 5, 7]


async def test_while_the_user_service_is_away_tokens_go_on(rpc: FakeRpc, signer: Signer) -> None:
    rpc.answers[GetKeys] = lambda _: signer.keys()
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    token = f"Bearer {signer.token(2)}"
    await reader.user(token)
    del rpc.answers[GetKeys]
    await reader.keep_up()
    assert (await reader.user(token)).id == 2


async def test_what_a_withdrawn_key_has_signed_ends_with_the_key(
    rpc: FakeRpc, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Signer("key-2")
    rpc.answers[GetKeys] = lambda _: signer.keys()
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    await reader.user(f"Bearer {signer.token(2)}")
    rpc.answers[GetKeys] = lambda _: newer.keys()
    await reader.keep_up()
    with pytest.raises(Unauthorized):
        await reader.user(f"Bearer {signer.token(2)}")
    assert (await reader.user(f"Bearer {newer.token(2)}")).id == 2


async def test_a_user_service_that_names_no_audience_asks_for_none(rpc: FakeRpc, signer: Signer) -> None:
    rpc.answers[GetKeys] = lambda _: KeySet(issuer=ISSUER, keys=signer.keys().keys)
    reader = TokenReader(rpc)  # type: ignore[arg-type]
    for audience in (None, AUDIENCE):
        assert (await reader.user(f"Bearer {signer.token(2, aud=audience)}")).id == 2


def test_what_has_ended_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended, "MOST_USERS", 3)
    monkeypatch.setattr(ended, "MOST_SESSIONS", 3)
    known = ended.EndedTokens()
    for number in range(1, 9):
        known.note(number, None, 1)
        known.note(number, str(number), 0)
    assert (list(known._below), list(known._sessions)) == ([6, 7, 8], ["6", "7", "8"])


def test_the_list_is_asked_for_often_enough() -> None:
    assert auth.ASK_EVERY_S + GatewaySettings().rpc_timeout_s < 30
    assert auth.ASK_EVERY_S in [job.seconds for job in service.jobs]


PAYMENT_ID = UUID("0193e6a0-0000-7000-8000-000000000001")
ADMIN_ROUTES = [
    ("POST", "/items"),
    ("PATCH", "/items/1"),
    ("DELETE", "/items/1"),
    ("POST", "/items/1/stock"),
    ("GET", "/items/1/stock-history"),
    ("POST", "/coupons"),
    ("POST", "/coupons/1/grants"),
    ("POST", "/users/2/points"),
    ("POST", f"/payments/{PAYMENT_ID}/refund"),
    ("POST", f"/ops/payments/{PAYMENT_ID}/resolve"),
    ("GET", "/ops/payments"),
    ("GET", "/ops/audit"),
]
ORDER_ID = UUID("0193e6a0-0000-7000-8000-000000000000")
SIGNED_IN_ROUTES = [
    ("GET", "/users/me"),
    ("GET", "/users/me/sessions"),
    ("DELETE", f"/users/me/sessions/{PAYMENT_ID}"),
    ("GET", "/users/me/coupons"),
    ("POST", "/coupons/1/issue"),
    ("GET", "/coupons/applied-amount?item_id=1"),
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("GET", f"/orders/{ORDER_ID}"),
    ("POST", f"/orders/{ORDER_ID}/cancel"),
    ("GET", "/points"),
    ("GET", "/points/history"),
    ("POST", "/points/charge"),
    ("POST", "/payments"),
    ("POST", "/payments/intents"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_customers_are_kept_out_of_admin_routes(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], method: str, path: str
) -> None:
    assert (await client.request(method, path, headers=buyer)).status_code == 403
    assert [call for call in rpc.calls if not isinstance(call, GetKeys)] == []


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES + SIGNED_IN_ROUTES)
async def test_strangers_are_asked_to_sign_in_before_their_request_is_judged(
    client: Client, rpc: FakeRpc, method: str, path: str
) -> None:
    assert (await client.request(method, path, content=b"{bad")).status_code == 401
    assert rpc.calls == []


class TestRateLimit:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"rate_limit": "3/hour"}

    async def test_each_user_has_a_limit_of_their_own(self, client: Client, signer: Signer) -> None:
        for user_id in (2, 3):
            for _ in range(3):
                assert (await client.get("/points", headers=signer.bearer(user_id))).status_code == 200
        response = await client.get("/points", headers=signer.bearer(2))

        assert response.status_code == 429
        assert response.headers["content-type"] == "application/problem+json"
        assert 1100 < int(response.headers["retry-after"]) <= 1200

    async def test_strangers_are_limited_by_address_whatever_they_send(self, client: Client) -> None:
        guesses = [bearer(f"guess-{number}") for number in range(5)]
        statuses = [(await client.get("/points", headers=guess)).status_code for guess in guesses]
        assert statuses == [401, 401, 401, 429, 429]


def test_no_rate_means_no_limit() -> None:
    assert parse_rate("") is None


def test_the_rate_allows_its_number_at_once_and_then_one_by_one() -> None:
    limit = parse_rate("600/minute")
    assert limit is not None
    for _ in range(600):
        limit.take("a", 100.0)
    with pytest.raises(TooMany) as refused:
        limit.take("a", 100.0)
    assert refused.value.retry_after == 1
    limit.take("a", 100.1)
    with pytest.raises(TooMany):
        limit.take("a", 100.1)
    limit.take("b", 100.1)


def test_a_crowd_of_callers_does_not_fill_the_memory() -> None:
    limit = RateLimit(1, 60)
    for number in range(MOST_CALLERS + 5000):
        limit.take(str(number), 0.0)
    assert len(limit._free_at) <= MOST_CALLERS
