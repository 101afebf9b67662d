"""The console over a gateway with invented services, and in a real browser over a whole shop."""

import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext

from deploy.local.layout import Layout
from gateway.console import session as sessions
from tests.console.desk import PATIENCE_MS, WIDE, Desk
from tests.gateway.conftest import rpc, settings, signer  # pyright: ignore[reportUnusedImport]
from tests.gateway.fakes import FakeRpc, Signer, gateway
from tests.support.chromium import browser
from user_svc.contracts import Login, Logout, Tokens

__all__ = ["rpc", "settings", "signer"]


class Console(httpx.AsyncClient):
    """A browser without pictures: it keeps cookies, and fills in forms as they were rendered."""

    async def sign_in(self) -> None:
        """As an admin."""
        answer = await self.post("/console/sign-in", data={"email": "admin@shop.test", "password": "good"})
        assert answer.status_code == 303, answer.text

    @property
    def app(self) -> Any:
        """The gateway, for streams."""
        return cast(Any, self._transport).app

    @property
    def form_token(self) -> str:
        """What the forms of this session carry."""
        held = sessions.read(self.cookies.get(sessions.COOKIE))
        assert held is not None
        return held.form_token

    def carry(self, access_token: str) -> None:
        """The cookie of a session with this access token."""
        tokens = Tokens(access_token=access_token, expires_in=0, refresh_token="refresh-0")
        cookie = sessions.begin("somebody@shop.test", tokens).cookie(secure=False)
        self.cookies.set(cookie.key, cookie.value or "", path="/console")

    async def act(self, page: str, action: str, **fields: str | list[str]) -> httpx.Response:
        """Send the form of `page` that leads to `action`."""
        text = (await self.get(page)).text
        form = re.search(rf'action="{re.escape(action)}">(.*?)</form>', text, re.DOTALL)
        assert form is not None, f"{page} has no form for {action}"
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[1]))
        return await self.post(action, data={**hidden, **fields})


@pytest.fixture
async def console(rpc: FakeRpc, signer: Signer, settings: dict[str, Any]) -> AsyncIterator[Console]:
    """A browser of somebody who is not signed in yet."""

    def login(call: Login) -> Tokens:
        role = "admin" if call.email.startswith("admin") else "customer"
        return Tokens(access_token=signer.token(1, role), expires_in=900, refresh_token="refresh-1")

    rpc.answers[Login] = login
    rpc.answers[Logout] = lambda _: None
    transport = httpx.ASGITransport(cast(Any, gateway(rpc, signer, **settings)))
    async with Console(transport=transport, base_url="http://shop.test") as browser:
        yield browser


@pytest.fixture
async def operator(console: Console) -> Console:
    """A browser of an operator who is signed in."""
    await console.sign_in()
    return console


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Browser]:
    """A real browser."""
    async with browser() as one:
        yield one


@pytest.fixture(scope="package")
async def signed_in(chromium: Browser, shop: Layout) -> AsyncIterator[BrowserContext]:
    """A browser that an admin is signed in with."""
    context = await chromium.new_context(viewport=WIDE, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    await Desk(shop.gateway_url, await context.new_page()).sign_in()
    yield context
    await context.close()


@pytest.fixture
async def desk(signed_in: BrowserContext, shop: Layout) -> AsyncIterator[Desk]:
    """A page of that browser, on which nothing may go wrong."""
    page = await signed_in.new_page()
    desk = Desk(shop.gateway_url, page)
    yield desk
    await page.close()
    assert desk.complaints == []
