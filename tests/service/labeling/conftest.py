"""Digits without labels, and an annotator who labels them over HTTP."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.labeling_client import photo
from flask.testing import FlaskClient
from PIL import Image

from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app

NAMES = ("zero", "one", "two")


def _write(folder: Path, numbers: slice, by_class: bool) -> Path:
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=3)
    for digit, name in enumerate(NAMES):
        place = folder / name if by_class else folder
        place.mkdir(parents=True, exist_ok=True)
        for number in np.flatnonzero(digits.target == digit)[numbers].tolist():
            pixels = (digits.images[number] * 15.9).astype(np.uint8)
            Image.fromarray(pixels).convert("RGB").save(place / f"{name}-{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 digits in no class folders; the file names tell their classes."""
    return _write(tmp_path_factory.mktemp("pool"), slice(0, 20), by_class=False)


@pytest.fixture(scope="session")
def test_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 other digits, one folder a class."""
    return _write(tmp_path_factory.mktemp("test"), slice(20, 40), by_class=True)


@pytest.fixture
def make_config(pool: Path, test_data: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that makes the config of a loop that waits for people."""

    def make(**annotator: Any) -> dict[str, Any]:
        reader = {"type": "image_classification_directory"}
        return {
            "dataset_reader": reader,
            "train_data_path": str(pool),
            "test_data_path": str(test_data),
            "model": {
                "type": "basic_image_classifier",
                "im2vec_encoder": {
                    "type": "flatten",
                    "input_channels": 3,
                    "input_height": 8,
                    "input_width": 8,
                },
            },
            "trainer": {"type": "logistic_regression", "cuda_device": -1},
            "active_learning": {
                "initial": {"size": 6, "strategy": "random"},
                "strategy": "margin",
                "query_size": 6,
                "budget": 18,
                "classes": list(NAMES),
                "annotator": {
                    "type": "labeling_server",
                    "port": 0,
                    "settle_seconds": 0.2,
                    **annotator,
                },
            },
        }

    return make


class Person(threading.Thread):
    """Labels whatever a labeling in a folder asks for, by the names of the files, until stopped.

    Args:
        folder: Where the labeling is.
        name: Under which name.
        pause: Seconds between two answers.
    """

    def __init__(self, folder: Path, name: str = "Anna", pause: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.given: dict[str, str] = {}
        self.sessions: list[dict[str, Any]] = []
        self._folder = folder
        self._who = name
        self._pause = pause
        self._ending = threading.Event()

    def run(self) -> None:
        from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

        while not (self._folder / LABELING_NAME).is_file() and not self._ending.wait(0.05):
            pass
        with LabelingStore(self._folder / LABELING_NAME) as store:
            while not self._ending.wait(0.05):
                url = store.server()
                if url is None:
                    continue
                try:
                    self._label(url)
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    time.sleep(0.1)  # the loop was killed, or is over

    def stop(self) -> None:
        """End."""
        self._ending.set()
        self.join()

    def _label(self, url: str) -> None:
        session = self._send(url, "GET", "session")
        self.sessions.append(session)
        classes = {one["name"]: one["id"] for one in session["classes"]}
        for item in self._send(url, "POST", "next", {"count": 2})["items"]:
            name = item["file_name"].split("-")[0].rsplit("/", 1)[-1]
            body = {"client_id": uuid.uuid4().hex, "item": item["id"], "kind": "label"}
            self._send(url, "POST", "answers", {**body, "class_id": classes[name]})
            self.given[item["file_name"]] = name
            time.sleep(self._pause)

    def _send(self, url: str, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Annotator": self._who}
        request = urllib.request.Request(f"{url}api/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


@pytest.fixture
def make_person() -> Iterator[Callable[..., Person]]:
    """Return a function that starts an annotator."""
    made: list[Person] = []

    def make(folder: Path, **options: Any) -> Person:
        person = Person(folder, **options)
        made.append(person)
        person.start()
        return person

    yield make
    for person in made:
        person.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelingStore]:
    """A labeling of a photo on its side, a broken one, a large one, and one that is gone."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (tmp_path / "turned.jpg").write_bytes(photo(40, 20, exif=exif))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "large.jpg").write_bytes(photo(3000, 1500))
    names = ("turned.jpg", "broken.jpg", "large.jpg", "gone.jpg")
    with LabelingStore(tmp_path / LABELING_NAME) as opened:
        opened.classes.add(["cat", "dog"], "owner")
        opened.items.open_batch(
            [NewItem(name, tmp_path / name, guess=[("dog", 0.9)]) for name in names]
        )
        yield opened


@pytest.fixture
def client(store: LabelingStore) -> Iterator[FlaskClient]:
    """A client of the application that serves it."""
    app = create_app(store.database.path.parent, title="Animals")
    yield app.test_client()
    app.close()
