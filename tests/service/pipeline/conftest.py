"""A small pipeline of a user's: nearest centroids of points in a plane."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from allencv_al.service.pipeline.pipeline import Pipeline

SIZE, TESTS, CLASSES = 60, 30, 3


def data(seed: int, count: int) -> tuple[Any, Any]:
    """Return points of three classes."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    centers = np.array([[0, 0], [4, 0], [0, 4]])
    return centers[labels] + generator.normal(size=(count, 2)), labels


class Centroids:
    """Functions in the style of the first examples: args first, the rest by keyword."""

    def __init__(self) -> None:
        self.points, self.labels = data(0, SIZE)
        self.test_points, self.test_labels = data(1, TESTS)
        self.calls: list[str] = []

    def train(self, args: Any, labeled: Any, resume_from: Any, ckpt_file: Any) -> Any:
        self.calls.append(f"train {len(labeled)} from {resume_from}")
        labels = self.labels[labeled]
        centers = [
            self.points[labeled][labels == c].mean(axis=0).tolist()
            if (labels == c).any()
            else [9, 9]
            for c in range(CLASSES)
        ]
        (Path(args["EXPT_DIR"]) / ckpt_file).write_text(json.dumps(centers))
        return {"labels": labels.tolist() * 2, "hyperparams": {"epochs": 2}}

    def test(self, args: Any, ckpt_file: Any) -> Any:
        self.calls.append("test")
        logits = self.logits(args, ckpt_file, self.test_points)
        return {"predictions": logits.argmax(1).tolist(), "labels": self.test_labels}

    def infer(self, args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        self.calls.append(f"infer {len(unlabeled)}")
        logits = self.logits(args, ckpt_file, self.points[unlabeled])
        rows = enumerate(logits)
        return {"outputs": {j: {"prediction": int(r.argmax()), "pre_softmax": r} for j, r in rows}}

    def getdatasetstate(self, args: Any = {}) -> Any:  # noqa: B006  as examples have it
        return {index: f"{index}.png" for index in range(SIZE)}

    def logits(self, args: Any, ckpt_file: str, points: Any) -> Any:
        centers = np.array(json.loads((Path(args["EXPT_DIR"]) / ckpt_file).read_text()))
        return -((points[:, None] - centers[None]) ** 2).sum(axis=2)


@pytest.fixture
def functions() -> Centroids:
    """The functions."""
    return Centroids()


@pytest.fixture
def make_pipeline(tmp_path: Path, functions: Centroids) -> Iterator[Callable[..., Pipeline]]:
    """Return a function that makes a pipeline of them; options are those of `Pipeline`."""

    def make(**options: Any) -> Pipeline:
        parts = {
            "train_fn": functions.train,
            "test_fn": functions.test,
            "infer_fn": functions.infer,
            "getstate_fn": functions.getdatasetstate,
            "args": {"EXPT_DIR": str(tmp_path / "log")},
        }
        return Pipeline("centroids", **{**parts, **options})

    yield make


@pytest.fixture
def client(make_pipeline: Callable[..., Pipeline]) -> FlaskClient:
    """Return a client of a small pipeline."""
    return make_pipeline().app.test_client()
