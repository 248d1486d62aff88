"""Pipelines that are served while a test runs."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.service.pipeline import Pipeline

SIZE, TESTS = 40, 30
CLASSES = {0: "ant", 1: "bee", 2: "cat"}


class Points:
    """Functions of a user's: nearest centroids of points in a plane."""

    def __init__(self) -> None:
        self.points, self.labels = _points(0, SIZE)
        self.test_points, self.test_labels = _points(1, TESTS)
        self.calls: list[str] = []
        self.trained_on: list[Any] = []

    def train(self, args: Any, labeled: Any, resume_from: Any, ckpt_file: Any, labels: Any) -> None:
        self.calls.append(f"train {ckpt_file} from {resume_from}")
        self.trained_on.append(labels)
        known = self.labels[labeled]
        centers = [
            self.points[labeled][known == c].mean(axis=0).tolist() if (known == c).any() else [9, 9]
            for c in range(3)
        ]
        (Path(args["EXPT_DIR"]) / ckpt_file).write_text(json.dumps(centers))

    def test(self, args: Any, ckpt_file: Any) -> Any:
        self.calls.append(f"test {ckpt_file}")
        logits = self.logits(args, ckpt_file, self.test_points)
        return {"predictions": logits.argmax(1), "labels": self.test_labels}

    def infer(self, args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        self.calls.append(f"infer {ckpt_file} {len(unlabeled)}")
        logits = self.logits(args, ckpt_file, self.points[unlabeled])
        return {
            "outputs": {
                record: {"pre_softmax": row, "embedding": point}
                for record, row, point in zip(
                    unlabeled, logits, self.points[unlabeled], strict=True
                )
            }
        }

    def state(self) -> Any:
        """Return names and classes."""
        return {
            index: {"id": f"point {index}", "label": int(label)}
            for index, label in enumerate(self.labels)
        }

    def names(self) -> Any:
        """Return names alone: the labels stay here."""
        return {index: f"point {index}" for index in range(SIZE)}

    def without_keys(self) -> list[str]:
        """Return the calls, their checkpoints without what tells runs apart."""
        return [re.sub(r"(ckpt_\d+)_[0-9a-f]{8}", r"\1", call) for call in self.calls]

    def logits(self, args: Any, ckpt_file: str, points: Any) -> Any:
        centers = np.array(json.loads((Path(args["EXPT_DIR"]) / ckpt_file).read_text()))
        return -((points[:, None] - centers[None]) ** 2).sum(axis=2)


def _points(seed: int, count: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centers = np.array([[0, 0], [4, 0], [0, 4]])
    return centers[labels] + generator.normal(size=(count, 2)), labels


@pytest.fixture
def functions() -> Points:
    """The functions."""
    return Points()


@pytest.fixture
def serve(tmp_path: Path, functions: Points) -> Iterator[Callable[..., str]]:
    """Return a function that serves them and returns the URL; options are those of `Pipeline`."""
    servers = []

    def start(**options: Any) -> str:
        parts = {
            "train_fn": functions.train,
            "test_fn": functions.test,
            "infer_fn": functions.infer,
            "getstate_fn": functions.state,
            "args": {"EXPT_DIR": str(tmp_path / "pipeline")},
            "class_labels": CLASSES,
        }
        server = Pipeline("points", **{**parts, **options}).start()
        servers.append(server)
        return server.url

    yield start
    for server in servers:
        server.close()


def config(url: str, **keys: Any) -> dict[str, Any]:
    """Return a config; keys are those of the block, a `_` begins those of the learner."""
    learner = {name[1:]: value for name, value in keys.items() if name.startswith("_")}
    block = {"query_size": 4, "budget": 12, "initial": {"size": 4}}
    block.update((name, value) for name, value in keys.items() if not name.startswith("_"))
    return {"active_learning": {**block, "learner": {"type": "pipeline", "url": url, **learner}}}


def run(config: dict[str, Any], folder: Path, **options: Any) -> list[RoundRecord]:
    """Run it, without the files for people."""
    return active_learn(Params(config), folder, RunOptions(**{"files": False, **options}))


@pytest.fixture
def make_config() -> Callable[..., dict[str, Any]]:
    """Return `config`."""
    return config


@pytest.fixture
def run_loop() -> Callable[..., list[RoundRecord]]:
    """Return `run`."""
    return run


@pytest.fixture
def wait_for_server() -> Callable[[str], None]:
    """Return a function that waits until a server listens at a URL."""

    def wait(url: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if urllib3.request("GET", f"{url}/healthz", retries=False).status == 200:
                    return
            time.sleep(0.05)
        pytest.fail(f"no server listens at {url}")

    return wait


@pytest.fixture
def fill_table() -> Callable[[Path, str], None]:
    """Return a function that labels each row of a run's `to_label.csv` as one class."""

    def fill(folder: Path, label: str) -> None:
        table = folder / "to_label.csv"
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, "label": label} for row in rows)

    return fill
