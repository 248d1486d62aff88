"""Compare estimates of the accuracy that need no label besides those that were chosen.

    OMP_NUM_THREADS=1 python benchmarks/confidence.py FEATURES --output confidence.jsonl
    python benchmarks/confidence.py --output confidence.jsonl    # the table again

FEATURES is a folder of `.npz` files, each with embeddings `X` `[N, D]` and class indices `y` `[N]`;
2,000 images of each take part. Each set, strategy and seed is a line of JSON with a round for 20
to 200 labels; lines that the file has already are not made again. The truth is the accuracy on all
images without a label. A fixed head is a logistic regression with C = 10 on normalized embeddings;
`auto` is the head of `inverse_regularization: "auto"` and `prior: "auto"` without unlabeled images.
The temperature minimizes the log-loss of predictions by folds, of the fixed head.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from allencv_al.common.feature_scaling import FeatureScaling
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.training.heads.few_label_head import HeadFitter, LabeledEmbeddings

STRATEGIES = ("random", "margin", "badge", "typiclust")
LABELS = (20, 40, 70, 120, 200)
IMAGES, FOLDS = 2000, 5
ESTIMATES = {
    "fixed": "mean confidence, fixed strength",
    "tempered": "the same with a temperature by folds",
    "auto": "mean confidence, strength chosen by held-out log-loss",
    "folds": "accuracy by folds",
}


def fixed_logits(rows: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the logits of a fixed head for other images, classes without an image at -50."""
    model = LogisticRegression(C=10.0, max_iter=200, tol=1e-3).fit(rows, labels)
    scores = model.decision_function(others)
    found = np.full((len(others), int(labels.max()) + 1), -50.0)
    found[:, model.classes_] = scores if scores.ndim == 2 else np.stack([-scores, scores], 1) / 2
    return found


def held_out_logits(rows: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Return the logits of each labeled image by the folds without it; None with one class."""
    folds = min(FOLDS, int(np.bincount(labels).max()))
    if folds < 2 or len(set(labels)) < 2:
        return None
    found = np.empty((len(labels), int(labels.max()) + 1))
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer images than folds
        for kept, held in splits.split(rows, labels):
            part = fixed_logits(rows[kept], labels[kept], rows[held])
            found[held] = -50.0
            found[held, : part.shape[1]] = part
    return found


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of the logits with the smallest log-loss."""
    known = logits[np.arange(len(labels)), labels] > -50
    logits, labels = logits[known], labels[known]

    def loss(logarithm: float) -> float:
        found = log_softmax(logits / np.exp(logarithm), 1)
        return -float(found[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def confidence(logits: np.ndarray) -> float:
    """Return the mean probability of the likeliest class."""
    return float(softmax(logits, 1).max(1).mean())


def curve(features: np.ndarray, truth: np.ndarray, name: str, seed: int) -> list[dict[str, Any]]:
    """Return the rounds of one run, whose picks are those of the fixed head."""
    order = np.random.default_rng(seed).permutation(len(truth))[:IMAGES]
    plain = features / np.linalg.norm(features, axis=1, keepdims=True)
    scaled = FeatureScaling.fit("center_l2", features[order]).apply(features).astype(np.float64)
    strategy, labeled, rounds = QueryStrategy.from_params(name), order[: LABELS[0]], []
    sizes = [size for size in LABELS if size <= len(order) // 2]
    for size, following in zip(sizes, [*sizes[1:], None], strict=True):
        rest = np.setdiff1d(order, labeled)
        classes, indices = np.unique(truth[labeled], return_inverse=True)
        logits = fixed_logits(plain[labeled], indices, plain[rest])
        found = {"labels": size, "fixed": confidence(logits)}
        found["fixed_truth"] = float((classes[logits.argmax(1)] == truth[rest]).mean())
        held = held_out_logits(plain[labeled], indices)
        if held is not None:
            found["tempered"] = confidence(logits / temperature(held, indices))
            found["folds"] = float((held.argmax(1) == indices).mean())
        ids = [str(place) for place in labeled]
        rows = LabeledEmbeddings(ids, scaled[labeled], indices, np.ones(len(classes)))
        layer = HeadFitter(rows).fit(["class_means", "none"], None).layer
        by_auto = layer.logits(scaled[rest])
        found["auto"] = confidence(by_auto)
        found["auto_truth"] = float((classes[by_auto.argmax(1)] == truth[rest]).mean())
        rounds.append(found)
        if following is not None:
            pool = Pool(
                [str(place) for place in rest],
                logits=log_softmax(logits, 1).astype(np.float32),
                embeddings=plain[rest],
                labeled_embeddings=plain[labeled],
                labeled_labels=indices,
            )
            chosen = strategy.select(pool, following - size, seed)
            labeled = np.concatenate([labeled, [int(id) for id in chosen.ids]])
    return rounds


def print_table(lines: list[dict[str, Any]]) -> None:
    """Print mean error and mean absolute error in points, by labels and by strategy."""
    groups: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in lines:
        for found in line["rounds"]:
            groups["20 labels" if found["labels"] == LABELS[0] else "40 to 200"].append(found)
            if found["labels"] > LABELS[0]:
                groups[f"`{line['strategy']}`, 40 to 200"].append(found)
    print("| | rounds |", " | ".join(ESTIMATES.values()), "|")
    print("|---|---:|" + "---|" * len(ESTIMATES))
    for name, rounds in sorted(groups.items()):
        cells = []
        for key in ESTIMATES:
            truth = "auto_truth" if key == "auto" else "fixed_truth"
            errors = [100 * (one[key] - one[truth]) for one in rounds if key in one]
            cells.append(f"{np.mean(errors):+.1f} ({np.mean(np.abs(errors)):.1f})")
        print(f"| {name} | {len(rounds)} |", " | ".join(cells), "|")


def main() -> None:
    """Make the lines that the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, nargs="?")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    text = args.output.read_text() if args.output.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    done = {(line["set"], line["strategy"], line["seed"]) for line in lines}
    for seed in range(args.seeds if args.features else 0):
        for path in sorted(args.features.glob("*.npz")):
            with np.load(path) as arrays:
                features, truth = arrays["X"].astype(np.float32), arrays["y"]
            for strategy in STRATEGIES:
                if (path.stem, strategy, seed) in done:
                    continue
                rounds = curve(features, truth, strategy, seed)
                lines.append(
                    {"set": path.stem, "strategy": strategy, "seed": seed, "rounds": rounds}
                )
                with args.output.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    print_table(lines)


if __name__ == "__main__":
    main()
