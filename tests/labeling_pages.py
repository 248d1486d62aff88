"""A labeling with its server, and a person before its page; for tests with a browser."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web.running import ServerThread, start_in_thread
from allencv_al.service.web.web_settings import WebSettings

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Labeling:
    """A labeling with a server that can be stopped and started again on the same port."""

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        port: int = 0,
        title: str = "Animals",
        classes: Sequence[str] = ("cat", "dog"),
        **batch: Any,
    ) -> None:
        self.folder = folder
        self.title = title
        self.store = LabelingStore(folder / LABELING_NAME)
        self.store.classes.add(classes, "owner")
        generator = np.random.default_rng(0)
        items = []
        for number in range(count):
            path = folder / f"{number:02d}.png"
            pixels = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((320, 240), Image.Resampling.NEAREST).save(path)
            guess = [("cat", 0.75)]
            items.append(NewItem(path.name, path, f"pick {number + 1} of {count}", guess))
        self.store.items.open_batch(items, **batch)
        self._server: ServerThread | None = None
        self.port = port
        if not port:  # else another labeling is served there first
            self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        app = create_app(self.folder, title=self.title, settings=WebSettings(port=self.port))
        self._server = start_in_thread(app)
        self.port = self._server.port

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None

    def close(self) -> None:
        self.stop()
        self.store.close()

    def said(self) -> dict[str, str]:
        """Return what has come of each image."""
        return {
            final.id: final.label or final.kind.value
            for final in self.store.agreed_labels(1)
            if final.event_id is not None
        }

    def wait(self, count: int) -> dict[str, str]:
        """Return the same when something has come of so many."""
        until = time.monotonic() + 15
        while len(said := self.said()) < count:
            assert time.monotonic() < until, said
            time.sleep(0.02)
        return said


def enter(page: Page, labeling: Labeling, name: str = "Anna") -> None:
    """Open the page, and say who labels."""
    page.goto(labeling.url)
    page.fill("#name", name)
    page.keyboard.press("Enter")
    expect(page.locator("#file-name")).not_to_be_empty()


def file_name(page: Page) -> str:
    return page.locator("#file-name").inner_text()


def press(page: Page, key: str) -> str:
    """Press a key; return the image that it was said of."""
    expect(page.locator("#file-name")).not_to_be_empty()  # a slow server has not sent the next yet
    before = file_name(page)
    page.keyboard.press(key)
    expect(page.locator("#file-name")).not_to_have_text(before)
    return before
