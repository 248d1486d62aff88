"""Compare ways to spend labels of people who err: on new images, or on second opinions.

    python benchmarks/second_opinions.py                        # digits, 5 people, 20 % wrong
    python benchmarks/second_opinions.py cats_dogs.npz --noise 0.3 --rows rows.jsonl

Each of five simulated people gives a wrong class, drawn uniformly from the others, with the same
probability. All ways spend the same number of labels, begin with the same images, and train the
same linear layer; its accuracy is measured on the other half of the images, whose labels are right.
The ways:

* `majority of 3, random`: three people label each image, drawn at random; the majority counts.
* `majority of 3, margin`: the same, on the images with the smallest margin.
* `one label, random` and `one label, margin`: one person labels each image.
* `ActiveLab`: each label goes to the image, labeled or not, whose score is lowest; CROWDLAB's
  consensus counts.
* `ActiveLab, then margin`: as many second opinions as ActiveLab asks for, and the other labels for
  new images with the smallest margin.

An .npz file holds `X` float32 [N, D] and `y` [N]. The table gives the mean accuracy over the
budget, its last value, and the paired difference to the first way with p of a t test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.datasets import load_digits

from allencv_al.labels.consensus import (
    NONE,
    active_lab_scores,
    at_temperature,
    crowdlab,
    fitted_temperature,
    majority_labels,
)
from allencv_al.training.heads.held_out_predictions import held_out_probabilities
from allencv_al.training.heads.softmax_regression import SoftmaxRegression

PEOPLE = 5
START, BATCH = 40, 20
STRENGTH = 10.0  # in units of 1 / (mean squared norm), as the audit's heads have at most thrice


class Pool:
    """Images of which people may be asked."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, noise: float, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        order = self.random.permutation(len(labels))
        pool, test = np.split(order, [len(order) // 2])
        self.features, self.labels = features[pool], labels[pool]
        self.test, self.test_labels = features[test], labels[test]
        self.classes = int(labels.max()) + 1
        shape = (len(pool), PEOPLE)
        others = self.random.integers(1, self.classes, shape)
        is_wrong = self.random.random(shape) < noise
        self._answers = np.where(
            is_wrong, (self.labels[:, None] + others) % self.classes, self.labels[:, None]
        )
        self._turns = np.argsort(self.random.random(shape), axis=1)
        self.given = np.full(shape, NONE)
        self.order = self.random.permutation(len(pool))

    @property
    def spent(self) -> int:
        return int((self.given != NONE).sum())

    @property
    def labeled(self) -> np.ndarray:
        return np.flatnonzero((self.given != NONE).any(axis=1))

    @property
    def unlabeled(self) -> np.ndarray:
        return self.order[(self.given[self.order] == NONE).all(axis=1)]

    def ask(self, image: int) -> None:
        """Let the next person of this image label it."""
        person = self._turns[image, (self.given[image] != NONE).sum()]
        self.given[image, person] = self._answers[image, person]


class Layer:
    """A linear layer, trained on the labels in force."""

    def __init__(self, pool: Pool, rows: np.ndarray, labels: np.ndarray) -> None:
        features = pool.features[rows].astype(np.float64)
        self._layer = SoftmaxRegression(features, np.eye(pool.classes)[labels]).fit(
            STRENGTH / float((features**2).sum(axis=1).mean())
        )

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        logits = self._layer.logits(features.astype(np.float64))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


class Way(NamedTuple):
    """A way to spend labels: how many for each new image, which ones, and the consensus."""

    per_image: int
    by_margin: bool
    asks_again: bool = False
    all_by_score: bool = False


WAYS = {
    "majority of 3, random": Way(3, by_margin=False),
    "majority of 3, margin": Way(3, by_margin=True),
    "one label, random": Way(1, by_margin=False),
    "one label, margin": Way(1, by_margin=True),
    "ActiveLab": Way(1, by_margin=True, asks_again=True, all_by_score=True),
    "ActiveLab, then margin": Way(1, by_margin=True, asks_again=True),
}


def held_out(pool: Pool, rows: np.ndarray) -> np.ndarray:
    """Return probabilities of the labeled images by layers that did not learn from them."""
    labels = majority_labels(pool.given[rows], pool.classes)
    found = np.full((len(rows), pool.classes), 1e-9)
    if len(np.unique(labels)) > 1:
        groups = [str(row) for row in rows]
        predicted = held_out_probabilities(pool.features[rows], labels, groups)
        found[:, : predicted.shape[1]] += predicted
    found /= found.sum(axis=1, keepdims=True)
    return at_temperature(found, fitted_temperature(pool.given[rows], found))


def spend(pool: Pool, way: Way, budget: int) -> np.ndarray:
    """Return the accuracy at each `START + k * BATCH` labels."""
    for image in pool.order[: START // way.per_image]:
        for _ in range(way.per_image):
            pool.ask(image)
    spent, accuracies = [], []
    while True:
        rows = pool.labeled
        predicted = held_out(pool, rows) if way.asks_again else None
        labels = (
            majority_labels(pool.given[rows], pool.classes)
            if predicted is None
            else crowdlab(pool.given[rows], predicted).labels
        )
        layer = Layer(pool, rows, labels)
        right = layer.probabilities(pool.test).argmax(axis=1) == pool.test_labels
        spent.append(pool.spent)
        accuracies.append(float(right.mean()))
        if pool.spent >= budget:
            return np.interp(np.arange(START + BATCH, budget + 1, BATCH), spent, accuracies)
        query(pool, way, layer, predicted)


def query(pool: Pool, way: Way, layer: Layer, predicted: np.ndarray | None) -> None:
    """Ask for the next labels."""
    rows, new = pool.labeled, pool.unlabeled
    probabilities = layer.probabilities(pool.features[new])
    again = 0
    if predicted is not None:
        known, unknown = active_lab_scores(pool.given[rows], predicted, probabilities, 1.0)
        known[(pool.given[rows] != NONE).all(axis=1)] = np.inf  # all were asked
        lowest = np.argsort(np.concatenate([known, unknown]), kind="stable")[:BATCH]
        again = int((lowest < len(rows)).sum())
        for place in np.argsort(known, kind="stable")[:again]:
            pool.ask(rows[place])
        if way.all_by_score:
            new, probabilities = new[lowest[lowest >= len(rows)] - len(rows)], None
    if way.by_margin and probabilities is not None:
        top = np.sort(probabilities, axis=1)
        new = new[np.argsort(top[:, -1] - top[:, -2], kind="stable")]
    for image in new[: (BATCH - again) // way.per_image]:
        for _ in range(way.per_image):
            pool.ask(image)


def table(rows: list[dict], write: Callable[[str], None]) -> None:
    """Print the means over the seeds."""
    curves = {name: np.array([row["curve"] for row in rows if row["way"] == name]) for name in WAYS}
    first = curves[next(iter(WAYS))].mean(axis=1)
    write("| way | mean | last | over the first | p |")
    write("|---|--:|--:|--:|--:|")
    for name, found in curves.items():
        means = found.mean(axis=1)
        gain = means - first
        compared = ""
        if gain.any():
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            p = stats.ttest_rel(means, first).pvalue
            compared = f"{100 * gain.mean():+.1f} ± {100 * error:.1f} | {p:.2g}"
        write(
            f"| {name} | {100 * means.mean():.1f} | {100 * found[:, -1].mean():.1f} | "
            f"{compared or '– | –'} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="an .npz file (default: digits)")
    parser.add_argument("--noise", type=float, default=0.2, help="share of wrong labels")
    parser.add_argument("--budget", type=int, default=400, help="labels")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=Path, help="write the curves as JSON lines")
    args = parser.parse_args()
    if args.file is None:
        features, labels = load_digits(return_X_y=True)
        features = (features / 16).astype(np.float32)
    else:
        with np.load(args.file) as file:
            features, labels = file["X"], file["y"].astype(np.int64)
    rows = [
        {
            "way": name,
            "seed": seed,
            "curve": spend(Pool(features, labels, args.noise, seed), way, args.budget).tolist(),
        }
        for seed in range(args.seeds)
        for name, way in WAYS.items()
    ]
    if args.rows is not None:
        args.rows.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    table(rows, print)


if __name__ == "__main__":
    main()
