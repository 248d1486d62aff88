"""A loop on photographs whose annotator has a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.data.sample_data.shapes import write_shapes
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.tasks.segmentation_task import mask_text

with suppress(ImportError):  # the fixture `browser` says so
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # 30 seconds, where nothing else runs
BUDGET, QUERY_SIZE = 24, 8
SECONDS = 240


@pytest.fixture
def photos(shared_data: Path, tmp_path: Path) -> Path:
    """Folders `pool`, without classes, and `test`, with them."""
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "pool").mkdir()
    for kind in ("cat", "dog"):
        for file in sorted((tmp_path / "cats_dogs" / "train" / kind).iterdir())[:40]:
            file.rename(tmp_path / "pool" / f"{kind}-{file.name}")
        for file in sorted((tmp_path / "cats_dogs" / "test" / kind).iterdir())[20:]:
            file.unlink()
    (tmp_path / "cats_dogs" / "test").rename(tmp_path / "test")
    return tmp_path


def config_of(photos: Path, weights: Path) -> dict[str, Any]:
    return {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [
                {"type": "resize", "height": 96, "width": 96, "interpolation": "area"},
                {"type": "normalize"},
            ],
        },
        "train_data_path": str(photos / "pool"),
        "test_data_path": str(photos / "test"),
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "torchvision",
                "model": "squeezenet1_1",
                "requires_grad": False,
                "weights": str(weights),
            },
            "im2vec_encoder": {"type": "pool", "input_channels": 512, "mode": "average"},
        },
        "trainer": {"type": "logistic_regression", "cuda_device": -1},
        "active_learning": {
            "initial": {"size": QUERY_SIZE, "strategy": "typiclust"},
            "strategy": "margin",
            "query_size": QUERY_SIZE,
            "budget": BUDGET,
            "classes": ["cat", "dog"],
            "annotator": {"type": "labeling_server", "port": 0, "settle_seconds": 1},
        },
    }


def url_of(run: Path, process: subprocess.Popen[str]) -> str:
    """Return the address of the page, when the loop serves it."""
    until = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None and time.monotonic() < until
        if (run / LABELING_NAME).is_file():
            with LabelingStore(run / LABELING_NAME) as store:
                url = store.server()
            if url is not None:
                return url
        time.sleep(0.1)


def class_key(name: str) -> list[str]:
    return ["1" if name.startswith("cat-") else "2"]


def label_all(
    page: Page,
    process: subprocess.Popen[str],
    keys_of: Callable[[str], list[str]] = class_key,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[str]:
    """Label by keys whatever the page shows, until the loop is done; return what was shown.

    Args:
        page: The page.
        process: The loop.
        keys_of: The keys that label the image of a name.
        meanwhile: Called while the page shows no image.
    """
    seen: list[str] = []
    until = time.monotonic() + SECONDS
    while process.poll() is None:
        assert time.monotonic() < until
        name = (
            page.locator("#file-name").inner_text()
            if page.locator("#view-label").is_visible()
            else ""
        )
        if name and name not in seen[-1:]:
            seen.append(name)
            for key in keys_of(name):
                page.keyboard.press(key)
        if not name:
            meanwhile()
        page.wait_for_timeout(50)
    return seen


def drive(
    command: list[str],
    run: Path,
    page: Page,
    keys_of: Callable[[str], list[str]] = class_key,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run a loop to its end, labeling on its page; return the images that the page showed."""
    log = run.with_suffix(".log")
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, text=True, env=dict(os.environ))
    try:
        page.goto(url_of(run, process))
        page.fill("#name", "Anna")
        page.keyboard.press("Enter")
        seen = label_all(page, process, keys_of, meanwhile)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
    return seen


def test_a_loop_is_driven_to_its_end_by_a_browser(
    photos: Path, shared_data: Path, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    new_page.allowed += ["Failed to load resource"]  # type: ignore[attr-defined]  at the end
    run, config = tmp_path / "run", tmp_path / "config.json"
    weights = shared_data / "weights" / "squeezenet1_1-caffe-acdec127.pth"
    config.write_text(json.dumps(config_of(photos, weights)))
    command = [sys.executable, "-m", "allencv_al", "active-learn", str(config), "-s", str(run)]
    seen = drive(command, run, new_page())
    assert len(set(seen)) == BUDGET
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        labels = LabelStore(database).labels()
        people = {event.annotator for event in LabelStore(database).events()}
    assert labels == {name: name.split("-")[0] for name in seen}
    assert people == {"Anna"}
    report = (run / "report.html").read_text()
    assert (run / "learning_curve.png").stat().st_size > 5_000
    assert report.count("data:image/") == BUDGET, "the pictures of the picks"
    assert "<svg" in report, "the curve"
    assert (run / "model.tar.gz").is_file()


def test_a_loop_learns_several_classes_per_image_from_the_page(
    new_page: Callable[..., Page], tmp_path: Path
) -> None:
    new_page.allowed += ["Failed to load resource"]  # type: ignore[attr-defined]  at the end
    write_shapes(tmp_path, counts={"train": 24, "test": 12})
    lines = (tmp_path / "train" / "labels.jsonl").read_text().splitlines()
    truth = {row["path"]: row["labels"] for row in map(json.loads, lines)}
    pool = tmp_path / "train" / "pool.csv"
    pool.write_text("path,label\n" + "".join(f"{path},\n" for path in truth))
    classes = ["circle", "square", "triangle"]
    model = {
        "type": "basic_image_classifier",
        "task": "multi_label",
        "im2im_encoder": {"type": "cifar_resnet", "depth": 8, "requires_grad": False},
        "im2vec_encoder": "pool",
    }
    loop = {
        "strategy": "margin",
        "query_size": 6,
        "budget": 18,
        "classes": classes,
        "annotator": {"type": "labeling_server", "port": 0, "settle_seconds": 1},
    }
    config = {
        "dataset_reader": {"type": "manifest", "augmentation": ["normalize"]},
        "train_data_path": str(pool),
        "test_data_path": str(tmp_path / "test" / "labels.jsonl"),
        "model": model,
        "trainer": {"type": "logistic_regression", "cuda_device": -1},
        "active_learning": loop,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = tmp_path / "run"
    command = [sys.executable, "-m", "allencv_al", "active-learn"]
    command += [str(tmp_path / "config.json"), "-s", str(run)]

    def keys_of(name: str) -> list[str]:
        digits = [str(1 + classes.index(one)) for one in truth[name]]
        return [*digits, "Enter" if digits else "n"]

    seen = drive(command, run, new_page(), keys_of)
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        labels = LabelStore(database).labels()
    assert {id: json.loads(text) for id, text in labels.items()} == {
        name: sorted(truth[name]) for name in seen
    }
    assert len(labels) == 18
    assert (run / "model.tar.gz").is_file()


def test_a_loop_of_masks_takes_accepted_drafts_and_those_drawn_elsewhere(
    new_page: Callable[..., Page], tmp_path: Path
) -> None:
    new_page.allowed += ["Failed to load resource"]  # type: ignore[attr-defined]  at the end
    shapes = write_shapes(tmp_path / "shapes", counts={"train": 12, "validation": 4, "test": 4})
    pool, truth = tmp_path / "pool", tmp_path / "truth"
    for kind, folder in (("images", pool), ("masks", truth)):  # six of twelve have no mask yet
        folder.mkdir()
        for file in sorted((shapes / "train" / kind).iterdir())[6:]:
            file.rename(folder / file.name)
    loop = {
        "strategy": "entropy",
        "query_size": 3,
        "budget": 12,
        "annotator": {"type": "labeling_server", "port": 0, "settle_seconds": 1},
    }
    overrides = {"trainer.num_epochs": 1, "trainer.cuda_device": -1, "active_learning": loop}
    overrides["pool_data_path"] = str(pool)
    run = tmp_path / "run"
    config = Path(__file__).parents[2] / "training_config" / "shapes_masks.jsonnet"
    command = [sys.executable, "-m", "allencv_al", "active-learn", str(config), "-s", str(run)]
    command += ["-o", json.dumps(overrides), "-V", f"SHAPES_PATH={shapes}"]
    drawn = tmp_path / "drawn"
    (drawn / "masks").mkdir(parents=True)
    handed_over: list[str] = []
    page = new_page()

    def keys_of(name: str) -> list[str]:
        expect(page.locator("#mask-legend li").first).to_be_visible()  # the draft of the model
        if handed_over:
            return ["y"]
        handed_over.append(name)
        return ["h"]

    def bring_back() -> None:
        """Import the mask of the image that was handed over, once, as drawn elsewhere."""
        if handed_over and not any((drawn / "masks").iterdir()):
            name = Path(handed_over[0]).name
            (truth / name).rename(drawn / "masks" / name)
            (drawn / "classes.json").write_text("{}")
            assert main(["import-labels", str(drawn), str(run)]) == 0

    seen = drive(command, run, page, keys_of, bring_back)
    assert len(seen) == len(set(seen)) == 6
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).events()
    given = {event.id: event.label or "" for event in events if event.source != "dataset"}
    assert set(given) == set(seen)
    pixels = np.asarray(Image.open(drawn / "masks" / Path(handed_over[0]).name))
    assert given[handed_over[0]] == mask_text(pixels)
    assert (run / "model.tar.gz").is_file()
