"""A real browser for the pages: whatever it complains about fails the test.

`CHROMIUM` names the program, if it is not on the path. Without one these tests skip, and fail where
`ALLENCV_AL_REQUIRE` has promised a browser.

`ALLENCV_AL_LATE_ANSWERS=0.5` lets each server wait half a second before its work and half a second
after it. A test that fails then asserts something that the server or the page has not yet heard of;
on a quick machine it passes nearly always.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import pytest
from fixtures.labeling_pages import SECONDS, Labeling
from flask import Flask

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = {"serious", "critical"}
LOCAL = ("127.0.0.1", "localhost")
ARGUMENTS = ("--no-sandbox", "--use-fake-device-for-media-stream")  # a camera that shows a clock
TIMEOUT_MS = 1_000 * SECONDS


@pytest.fixture(scope="session", autouse=True)
def late_answers() -> Iterator[None]:
    """Let the servers of this process answer late, where that is asked for."""
    seconds = float(os.environ.get("ALLENCV_AL_LATE_ANSWERS", 0))
    at_once = Flask.wsgi_app

    def late(app: Flask, environ: Any, start_response: Any) -> Any:
        time.sleep(seconds)
        answer = at_once(app, environ, start_response)
        time.sleep(seconds)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        if seconds:
            patch.setattr(Flask, "wsgi_app", late)
        yield


@pytest.fixture(scope="session")
def browser(skip_or_fail: Callable[[str, str], NoReturn]) -> Iterator[Browser]:
    """Chromium without a window."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        skip_or_fail("there is no Chromium; CHROMIUM says where it is", "browser")
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        skip_or_fail("the package playwright is not installed", "browser")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


class Pages:
    """Makes pages, and keeps what their consoles say and what they ask for.

    Args:
        browser: The browser.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._stack = ExitStack()
        self._opened: list[Page] = []
        self.complaints: list[str] = []
        self.allowed: list[str] = []
        """Parts of complaints that a test expects."""

    def __call__(self, width: int = 1280, height: int = 800, **options: Any) -> Page:
        """Return a new page in a browser profile of its own."""
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        self._stack.callback(context.close)
        page = context.new_page()
        self._opened.append(page)
        page.set_default_timeout(TIMEOUT_MS)
        # Playwright takes a moment to begin to catch file choosers, and a test may be quicker.
        page.on("filechooser", lambda chooser: None)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("dialog", self._on_dialog)
        page.on("request", self._on_request)
        page.on("websocket", self._on_request)
        return page

    def close(self) -> None:
        """Close all of them; closed ones stay closed."""
        for page in (one for one in self._opened if not one.is_closed()):
            # a request may be on its way through a route of the test
            page.unroute_all(behavior="ignoreErrors")
        self._stack.close()

    def unexpected(self) -> list[str]:
        """Return the complaints that no test expects."""
        return [text for text in self.complaints if not any(part in text for part in self.allowed)]

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _on_dialog(self, dialog: Any) -> None:
        self.complaints.append(f"a script ran: {dialog.type} {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("blob", "data") and address.hostname not in LOCAL:
            self.complaints.append(f"request to another host: {request.url}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Close the pages before any server: a page that polls a stopped server complains."""
    pages = getattr(item, "funcargs", {}).get("new_page")
    if pages is not None:
        pages.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Pages]:
    """Return a function that makes a page; at the end nothing may have gone wrong in any."""
    pages = Pages(browser)
    yield pages
    pages.close()
    assert pages.unexpected() == []


@pytest.fixture
def page(new_page: Pages) -> Page:
    """A page as wide as a desk's screen."""
    return new_page()


@pytest.fixture
def assert_accessible(
    skip_or_fail: Callable[[str, str], NoReturn],
) -> Callable[[Page], None]:
    """Return a function that finds no serious fault of accessibility on a page."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        skip_or_fail("the package axe-playwright-python is not installed", "browser")

    def check(page: Page) -> None:
        found = Axe().run(page).response["violations"]
        faults = [
            f"{one['id']} ({one['impact']}): {one['help']}: "
            + "; ".join(node["html"][:120] for node in one["nodes"][:3])
            for one in found
            if one["impact"] in SERIOUS
        ]
        assert faults == []

    return check


@pytest.fixture
def make_labeling(tmp_path: Path, new_page: Any) -> Iterator[Callable[..., Labeling]]:
    """Return a function that starts a labeling of some images."""
    made: list[Labeling] = []

    def make(count: int = 5, kind: type[Labeling] = Labeling, **batch: Any) -> Labeling:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(kind(folder, count, **batch))
        return made[-1]

    yield make
    new_page.close()  # first: a page that asks a server which has gone complains
    for labeling in made:
        labeling.close()
