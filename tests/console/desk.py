"""An operator's desk: a real browser at the console of a whole shop."""

from playwright.async_api import Locator, Page, ViewportSize, expect

from deploy.services import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
ADMIN, PASSWORD = "admin@sagamart.local", "sagamart-admin"
WIDE, PHONE = ViewportSize(width=1360, height=900), ViewportSize(width=390, height=844)
PATIENCE_MS = 15_000


class Desk:
    """A page of the console, and what went wrong on it."""

    def __init__(self, url: str, page: Page) -> None:
        self.url = url
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._listen(message.type, message.text))

    def _listen(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "status of 4" not in text and "status of 5" not in text:
            self.complaints.append(text)

    async def sign_in(self, email: str = ADMIN, password: str = PASSWORD) -> None:
        """Fill in the form as a person would."""
        await self.page.goto(f"{self.url}/console")
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_load_state()

    async def open(self, path: str) -> None:
        """Go to a page of the console."""
        await self.page.goto(f"{self.url}/console/{path}")

    async def open_live(self, path: str) -> None:
        """Go to a page of the console and wait until it lives."""
        await self.open(path)
        await expect(self.page.locator("#pulse")).to_have_text("Live")

    async def act(self, within: Locator, summary: str, yes: str, **fields: str) -> None:
        """Open a question, fill in what it asks for, and say yes."""
        await within.locator("summary", has_text=summary).click()
        for label, text in fields.items():
            await within.locator(f"input[name={label}]:visible").fill(text)
        await within.get_by_role("button", name=yes).click()
        await self.page.wait_for_load_state()

    async def texts(self, selector: str) -> list[str]:
        """What stands in all that a selector finds."""
        return [" ".join(text.split()) for text in await self.page.locator(selector).all_inner_texts()]

    async def ids(self, selector: str, prefix: str) -> list[str]:
        """The ids of all that a selector finds, without their prefix."""
        found: list[str] = await self.page.locator(selector).evaluate_all("all => all.map(one => one.id)")
        return [one.removeprefix(prefix) for one in found]

    async def photograph(self, name: str) -> None:
        """Keep how the page looks: light, dark, and on a phone, where nothing may scroll sideways."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self._photograph(f"{name}-light")
        await self.page.emulate_media(color_scheme="dark")
        await self._photograph(f"{name}-dark")
        await self.page.emulate_media(color_scheme="light")
        await self.page.set_viewport_size(PHONE)
        await self._photograph(f"{name}-phone")
        width: int = await self.page.evaluate("document.documentElement.scrollWidth")
        await self.page.set_viewport_size(WIDE)
        assert width <= PHONE["width"], f"{name} scrolls sideways on a phone: {width} pixels"

    async def _photograph(self, name: str) -> None:
        path = SCREENSHOTS / f"{name}.png"
        await self.page.screenshot(path=path, full_page=True, animations="disabled")
