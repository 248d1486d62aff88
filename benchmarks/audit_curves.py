"""Make learning curves with audit samples from embeddings, for the figures of audit and forecast.

    OMP_NUM_THREADS=1 python benchmarks/audit_curves.py FEATURES --output curves.jsonl

FEATURES is a folder of `.npz` files, each with embeddings `X` `[N, D]` and class indices `y` `[N]`.
Each set, strategy and seed gives one curve, a line of JSON: per round the number of labels, the
accuracy on two fifths of the images that take no other part, and what the run itself can know of
it: hits of an audit sample of 100 images, mean confidence, cross-validation on its own labels.
Lines that the file has already are not made again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from allencv_al.metrics.accuracy_interval import sample_accuracy
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy

STRATEGIES = ("random", "margin", "badge", "typiclust")
FIRST, AUDIT, FOLDS = 20, 100, 5
MOST_LABELS, MOST_IMAGES = 600, 4000
GROWTH = 1.15  # a round adds this share, so that 25 rounds reach 600 labels


def head() -> LogisticRegression:
    """Return the classifier of normalized embeddings."""
    return LogisticRegression(C=10.0, max_iter=200, tol=1e-3)


def curve(features: np.ndarray, truth: np.ndarray, name: str, seed: int) -> list[dict[str, Any]]:
    """Return the rounds of one run."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))[:MOST_IMAGES]
    cut = int(0.4 * len(order))
    test, pool = order[:cut], order[cut:]
    audit, pool = pool[: min(AUDIT, len(pool) // 4)], pool[min(AUDIT, len(pool) // 4) :]
    labeled = [int(place) for place in pool[:FIRST]]
    strategy = QueryStrategy.from_params(name)
    rounds = []
    while True:
        model = head().fit(features[labeled], truth[labeled])
        taken = set(labeled)
        rest = np.array([place for place in pool if place not in taken])
        sure = model.predict_proba(features[rest])
        own = model.predict_proba(features[audit])
        hits = model.classes_[own.argmax(1)] == truth[audit]
        population = len(audit) + len(pool)
        powered = sample_accuracy(hits, population, own.max(1), sure.max(1))
        plain = sample_accuracy(hits, population)
        rounds.append(
            {
                "labels": len(labeled),
                "accuracy": float((model.predict(features[test]) == truth[test]).mean()),
                "population": population,
                "audit": [plain.value, plain.low, plain.high],
                "powered": [powered.value, powered.low, powered.high],
                "hits": int(hits.sum()),
                "audit_size": len(hits),
                "confidence": float(sure.max(1).mean()),
                "cross_validated": cross_validated(features[labeled], truth[labeled]),
            }
        )
        size = max(5, round((GROWTH - 1) * len(labeled)))
        if len(labeled) + size > MOST_LABELS or size > len(rest) // 2:
            return rounds
        places = np.searchsorted(model.classes_, truth[labeled])
        chosen = strategy.select(
            Pool(
                [str(place) for place in rest],
                logits=np.log(np.clip(sure, 1e-9, 1)),
                embeddings=features[rest],
                labeled_embeddings=features[labeled],
                labeled_labels=places,
            ),
            size,
            seed,
        )
        labeled += [int(id) for id in chosen.ids]


def cross_validated(features: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the accuracy by folds of the labels, None where a class has too few."""
    counts = np.bincount(truth)
    keep = np.isin(truth, np.flatnonzero(counts >= FOLDS))
    if keep.sum() < 2 * FOLDS or len(set(truth[keep])) < 2:
        return None
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    guesses = cross_val_predict(head(), features[keep], truth[keep], cv=folds)
    return float((guesses == truth[keep]).mean())


def main() -> None:
    """Make the curves that the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    args = parser.parse_args()
    done = set()
    if args.output.exists():
        lines = map(json.loads, args.output.read_text().splitlines())
        done = {(line["set"], line["strategy"], line["seed"]) for line in lines}
    sets = {}
    for path in sorted(args.features.glob("*.npz")):
        with np.load(path) as arrays:
            rows, truth = arrays["X"].astype(np.float32), arrays["y"]
        sets[path.stem] = rows / np.linalg.norm(rows, axis=1, keepdims=True), truth
    for seed in range(args.seeds):
        for name, (features, truth) in sets.items():
            for strategy in args.strategies:
                if (name, strategy, seed) in done:
                    continue
                rounds = curve(features, truth, strategy, seed)
                line = {"set": name, "strategy": strategy, "seed": seed, "rounds": rounds}
                with args.output.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
