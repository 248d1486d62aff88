"""Label photographs on the real page in Chromium, with the pauses of a person.

    python benchmarks/bulk_in_browser.py FOLDER               # FOLDER/CLASS/*.jpg, two classes
    python benchmarks/bulk_in_browser.py FOLDER --images 300

`allencv-al label` serves a copy of the images without their classes. A script looks at each image
of a page (0.3 s), clicks the odd ones (1.38 s each) and presses the key of the others' class
(1.93 s); what is left it labels one by one (1.73 s each): the times of `bulk.py`, spent for real.
It makes no mistakes, so the figure is one of time alone.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

LOOK, TAKE_OUT, GIVE, ONE = 0.3, 1.38, 1.93, 1.73
FEWEST = 4  # images of a page; fewer are labeled one by one
SECONDS = 60


def copied(source: Path, folder: Path, images: int) -> dict[str, str]:
    """Copy images in a random order under numbers; return the class of each."""
    files = sorted(file for file in source.glob("*/*") if file.is_file())
    random.Random(0).shuffle(files)
    folder.mkdir()
    truth = {}
    for number, file in enumerate(files[:images]):
        name = f"{number:05d}{file.suffix}"
        shutil.copy(file, folder / name)
        truth[name] = file.parent.name
    return truth


def label_pages(page: Page, truth: dict[str, str], keys: dict[str, str]) -> int:
    """Label on pages until one has few images; return the number of pages."""
    pages, before = 0, ""
    grid, empty = page.locator("#bulk-grid .tile"), page.locator("#bulk-empty")
    expect(grid.first).to_be_visible(timeout=1_000 * SECONDS)
    while True:
        names: list[str] = grid.evaluate_all("tiles => tiles.map((tile) => tile.title)")
        if empty.is_visible() or 0 < len(names) < FEWEST:
            return pages
        if not names or names[0] == before:  # the next page has not come yet
            page.wait_for_timeout(50)
            continue
        kinds = [truth[name] for name in names]
        most = max(keys, key=kinds.count)
        time.sleep(LOOK * len(names))
        for place, kind in enumerate(kinds):
            if kind != most:
                time.sleep(TAKE_OUT)
                grid.nth(place).click()
        time.sleep(GIVE)
        page.keyboard.press(keys[most])
        pages, before = pages + 1, names[0]


def label_rest(page: Page, truth: dict[str, str], keys: dict[str, str]) -> int:
    """Label one by one until nothing is left; return the number of images."""
    done, before = 0, ""
    page.keyboard.press("l")
    end, name = page.locator("#view-end"), page.locator("#file-name")
    while True:
        if end.is_visible():
            return done
        shown = name.inner_text() if name.is_visible() else ""
        if not shown or shown == before:
            page.wait_for_timeout(50)
            continue
        time.sleep(ONE)
        page.keyboard.press(keys[truth[shown]])
        done, before = done + 1, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a folder for each class")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--port", type=int, default=8377)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        pool = Path(made, "pool")
        truth = copied(args.folder, pool, args.images)
        classes = sorted(set(truth.values()))
        keys = {name: str(number) for number, name in enumerate(classes, start=1)}
        command = [sys.executable, "-m", "allencv_al", "label", str(pool), "--port", str(args.port)]
        command += ["--classes", ",".join(classes), "--embeddings", "offline"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        while f":{args.port}/" not in server.stderr.readline():
            assert server.poll() is None
        started = time.monotonic()
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            ).new_page()
            page.goto(f"http://127.0.0.1:{args.port}/")
            page.fill("#name", "Anna")
            page.keyboard.press("Enter")
            expect(page.locator("#file-name")).not_to_be_empty(timeout=1_000 * SECONDS)
            page.keyboard.press("b")
            pages = label_pages(page, truth, keys)
            single = label_rest(page, truth, keys)
            minutes = (time.monotonic() - started) / 60
        server.send_signal(signal.SIGINT)
        server.wait(SECONDS)
        with Path(made, "pool-labels", "labels.csv").open(encoding="utf-8", newline="") as stream:
            given = {Path(row["path"]).name: row["label"] for row in csv.DictReader(stream)}
    right = sum(truth[name] == label for name, label in given.items())
    print(
        f"{len(given)} labels in {minutes:.1f} minutes: {pages} pages, {single} images one by one; "
        f"{right} right"
    )


if __name__ == "__main__":
    main()
