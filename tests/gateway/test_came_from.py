"""Behind a proxy that is trusted, failed sign-ins and requests are counted by the client's own address."""

from typing import Any, cast

import httpx
import pytest

from shared.errors import Unauthorized
from tests.gateway.fakes import FakeRpc, Signer, gateway
from user_svc.contracts import Login

WHO = {"email": "a@b.test", "password": "wrong"}


def _refuse(_: Login) -> Any:
    raise Unauthorized("The address or the password is wrong.")


@pytest.mark.parametrize(
    ("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.7"), ("10.0.0.1", "127.0.0.1")]
)
async def test_sign_ins_are_counted_by_the_client(trusted: str, client: str) -> None:
    rpc, headers = FakeRpc(), {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}
    rpc.answers[Login] = _refuse
    transport = httpx.ASGITransport(cast(Any, gateway(rpc, Signer(), trusted_proxies=trusted)))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as asking:
        await asking.post("/users/login", json=WHO, headers=headers)
        await asking.post("/console/sign-in", data=WHO, headers=headers)
    assert [call.client for call in rpc.calls if isinstance(call, Login)] == [client, client]


async def test_requests_are_counted_by_the_client_and_its_network() -> None:
    app = gateway(FakeRpc(), Signer(), trusted_proxies="127.0.0.1", rate_limit="1/hour")
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as asking:

        async def ask(address: str) -> int:
            answer = await asking.get("/items/0", headers={"X-Forwarded-For": address})
            return answer.status_code

        assert await ask("198.51.100.7") != 429
        assert await ask("198.51.100.7") == 429
        assert await ask("198.51.100.8") != 429
        assert await ask("2001:db8:1:2::1") != 429
        assert await ask("[2001:db8:1:2::2]:80") == 429
        assert await ask("2001:db8:1:3::1") != 429
