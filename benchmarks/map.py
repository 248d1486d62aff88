"""Frames of the labeling page's map: move it, magnify it, and draw around images, in Chromium.

    python benchmarks/map.py                      # 100,000 images
    python benchmarks/map.py --images 10000 --width 390 --height 844

A labeling with the real store and the real server; only the vectors are made up (20 heaps). The
mouse is the browser's own: 300 moves with the right button down, 60 turns of the wheel and a lasso
of 200 corners. Frames are counted by `requestAnimationFrame` while the input lasts; the processor
time of the page's thread says what a frame takes on a machine that does other work, too. Headless
Chromium draws without a graphics card, and never more than 60 frames a second.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web.running import start_in_thread
from allencv_al.service.web.web_settings import WebSettings

HEAPS, WIDTH = 20, 64
COUNT_FRAMES = """() => {
  window.frames_seen = [];
  const see = (time) => {
    window.frames_seen.push(time);
    window.seeing = requestAnimationFrame(see);
  };
  window.seeing = requestAnimationFrame(see);
}"""
STOP = "() => { cancelAnimationFrame(window.seeing); return window.frames_seen; }"


def fill(folder: Path, count: int) -> None:
    """Make a labeling whose model predicts a heap for each image."""
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(HEAPS, WIDTH))
    heaps = generator.integers(0, HEAPS, count)
    rows = (centers[heaps] + generator.normal(0, 1, (count, WIDTH))).astype(np.float32)
    with LabelingStore(folder / LABELING_NAME) as store:
        store.classes.add([f"class {number}" for number in range(HEAPS)], "owner")
        items = [
            NewItem(f"{number:06d}.jpg", folder / "absent.jpg", guess=[(f"class {heap}", 0.9)])
            for number, heap in enumerate(heaps.tolist())
        ]
        store.items.open_batch(items)
        store.vectors.add("made", [item.id for item in items], rows)


def frames(page: Page, act: Callable[[], None]) -> str:
    """Return frames per second, their times, and processor time a frame while something happens."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))

    page.evaluate(COUNT_FRAMES)
    before = seconds()
    act()
    used = seconds() - before
    times = np.diff(page.evaluate(STOP))
    session.detach()
    middle, late, worst = np.quantile(times, [0.5, 0.95, 1.0])
    rate = 1000 * len(times) / times.sum()
    return (
        f"{rate:.0f} a second; ms a frame: median {middle:.0f}, 95 % {late:.0f}, most {worst:.0f}; "
        f"processor {1000 * used / len(times):.1f} ms"
    )


def measure(page: Page, url: str) -> None:
    """Print the figures of one page."""
    taken: dict[str, float] = {}
    page.on("requestfinished", lambda one: taken.update({one.url: one.timing["responseEnd"]}))
    page.goto(f"{url}#map")
    page.fill("#name", "Anna")
    begun = time.perf_counter()
    page.keyboard.press("Enter")
    expect(page.locator("#map-legend li").first).to_be_visible()
    print(f"from the name to the first picture: {time.perf_counter() - begun:.1f} s")
    for address, milliseconds in taken.items():
        if "/api/map" in address:
            path = address.partition("/api/")[2].partition("?")[0]
            print(f"  {path}: {milliseconds:.0f} ms")
    page.select_option("#map-color", "predicted")
    box: Any = page.locator("#map-frame").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + min(box["height"], 500) / 2

    def move() -> None:
        page.mouse.move(*middle)
        page.mouse.down(button="right")
        for turn in range(3):
            page.mouse.move(middle[0] + 120 * (-1) ** turn, middle[1] + 40 * turn, steps=100)
        page.mouse.up(button="right")

    def magnify() -> None:
        for turn in range(60):
            page.mouse.wheel(0, -40 if turn < 30 else 40)

    def draw() -> None:
        page.mouse.move(*middle)
        page.mouse.down()
        for x, y in ((150, 0), (150, 150), (-150, 150), (-150, 0)):
            page.mouse.move(middle[0] + x, middle[1] + y, steps=50)
        page.mouse.up()

    print("moved:", frames(page, move))
    print("magnified:", frames(page, magnify))
    print("lasso:", frames(page, draw), f"({page.locator('#map-title').inner_text()})")
    print("moved, with chosen images:", frames(page, move))


def main() -> None:
    """Measure the map of a made-up labeling."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    args = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        fill(Path(folder), args.images)
        server = start_in_thread(create_app(folder, settings=WebSettings(port=0)))
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        expect.set_options(timeout=60_000)
        page = browser.new_page(viewport={"width": args.width, "height": args.height})
        page.set_default_timeout(60_000)
        measure(page, f"http://127.0.0.1:{server.port}/")
        browser.close()
        server.close()


if __name__ == "__main__":
    main()
