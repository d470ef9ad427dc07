"""The real browser of the tests: Debian's chromium, driven by playwright.

`browser_page` is a page in a context of its own that remembers every error, dialog and request; `sign_in` takes it through
Argilla's own login form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Argilla's page asks for fonts from outside; a test reaches nothing but this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
#: Screenshots are kept here, to be looked at; git does not know them.
PICTURES = Path(__file__).parents[2] / ".test-output" / "page"
expect.set_options(timeout=30_000)  # milliseconds, for a busy machine


@dataclass
class Seen:
    """What a page did that a test may have to refuse."""

    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: self.requests.append(request.url))

        def dialog(opened: Any) -> None:
            self.dialogs.append(opened.message)
            opened.dismiss()

        page.on("dialog", dialog)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One chromium for the whole run."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


def _pages(browser: Browser) -> Iterator[Callable[..., Page]]:
    with ExitStack() as stack:

        def open_page(*, width: int = 1440, height: int = 900, **options: Any) -> Page:
            context = browser.new_context(viewport={"width": width, "height": height}, **options)
            stack.callback(context.close)
            page = context.new_page()
            watcher = Seen()
            watcher.watch(page)
            page.seen = watcher  # type: ignore[attr-defined]  # a test reads it beside the page
            return page

        yield open_page


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages with a login of their own; `seen` says what they did. They close with the test."""
    yield from _pages(browser)


@pytest.fixture(scope="module")
def new_page_of_module(browser: Browser) -> Iterator[Callable[..., Page]]:
    """The same, for pages that live as long as the module."""
    yield from _pages(browser)


@pytest.fixture
def browser_page(new_page: Callable[..., Page]) -> Page:
    """A page of 1440 x 900."""
    return new_page()


def seen(page: Page) -> Seen:
    """What the page of `new_page` did so far."""
    return page.seen  # type: ignore[attr-defined]


def sign_in(page: Page, url: str, username: str, password: str, *, theme: str | None = None) -> None:
    """Signs in through Argilla's form, and chooses a theme (`light`, `dark`, `high-contrast`) as the settings page does."""
    page.goto(f"{url.rstrip('/')}/sign-in", wait_until="networkidle")
    page.locator("input[name=Username]").fill(username)
    page.locator("input[name=Password]").fill(password)
    page.locator("button[type=submit]:enabled").click()
    page.wait_for_url(lambda address: "sign-in" not in address, timeout=30_000)
    if theme:
        choose_theme(page, theme)


def choose_theme(page: Page, theme: str) -> None:
    """Chooses `light`, `dark` or `high-contrast`, as the settings page remembers it; it holds from the next page on."""
    page.evaluate(
        "theme => localStorage.argilla = JSON.stringify({...JSON.parse(localStorage.argilla || '{}'), theme})",
        theme,
    )


def card_frames(page: Page, count: int = 1) -> list[Frame]:
    """The frames of the review cards in the order of the page, once at least `count` of them are drawn."""
    page.wait_for_function(_DRAWN, arg=count, timeout=30_000)
    frames = [element.content_frame() for element in page.query_selector_all("iframe")]
    return [frame for frame in frames if frame is not None]


_DRAWN = """count => [...document.querySelectorAll("iframe")].filter(
    frame => frame.contentDocument && frame.contentDocument.querySelector("#admap .all")).length >= count"""


def picture(page: Page, name: str, **options: Any) -> Path:
    """Keeps a screenshot as test output."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.wait_for_timeout(600)  # Argilla's opening screen fades
    page.screenshot(path=str(path), **options)
    return path
