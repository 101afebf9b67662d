"""A real browser for tests: the system's Chromium, driven by Playwright."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from deploy.local import binaries
from deploy.local.errors import FleetError

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def program() -> Path:
    """Where Chromium is; installed first where that is ours to do. Raises `FleetError` with advice."""
    found = _found()
    if found is None and binaries.install(["chromium"], ["chromium"]):
        found = _found()
    if found is None:
        raise FleetError(
            "The tests of the console need Chromium: apt-get install chromium (or run them as root once)."
        )
    return found


def _found() -> Path | None:
    return next((path for name in NAMES if (path := binaries.which(name)) is not None), None)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=program(), headless=True, args=FLAGS)
        try:
            yield one
        finally:
            await one.close()
