"""Compare last layers on frozen embeddings, at 1 to 50 labels a class.

    python benchmarks/heads.py --encode CONFIG.jsonnet birds.npz    # once for each data set
    python benchmarks/heads.py cats_dogs.npz birds.npz --rows rows.jsonl
    python benchmarks/heads.py --rows rows.jsonl                    # the tables again

CONFIG is an experiment with a frozen encoder (training_config/cats_dogs_active_learning.jsonnet,
with its environment variables): its images at `train_data_path` are the pool, those at
`test_data_path` measure. An .npz file holds `X` float32 [N, D], `y` [N] and `split` ("train" or
"test").

Of each set up to 2,000 images are the pool and 1,000 measure; test images are in no graph and no
statistic. Labels are drawn at random, the same number of each class. In an unbalanced pool the
classes keep from 100 % down to 10 % of their images in even steps. Accuracy is the mean over the
classes; the standard error is that of the mean over the draws.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np
import torch

from allencv_al.common.feature_scaling import FeatureScaling, FeatureScalingKind
from allencv_al.models.nearest_neighbors_classifier import NeighborVote
from allencv_al.training.heads.few_label_head import HeadFitter, LabeledEmbeddings, Prior
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.heads.softmax_regression import SoftmaxRegression, log_loss

Logits: TypeAlias = Callable[[np.ndarray], np.ndarray]

LABELS = (1, 2, 5, 10, 20, 50)
KINDS = get_args(FeatureScalingKind)
POOL, TEST = 2000, 1000
OLD = "standardize, C=0.01"  # the configs of version 0.1
AUTO = "center_l2, auto"
PRIORS: list[Prior] = ["label_spreading", "class_means", "discriminant_analysis"]  # as the trainer


class Set(NamedTuple):
    """The embeddings of a data set: a pool, and images that measure."""

    name: str
    pool: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    @property
    def classes(self) -> int:
        return int(max(self.labels.max(), self.test_labels.max())) + 1


def encode(config: Path, output: Path) -> None:
    """Write the embeddings of the images of a config."""
    from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
    from allencv_al.common import Params
    from allencv_al.data.batch import label_indices
    from allencv_al.predictors.image_predictor import ImagePredictor

    experiment = ActiveLearningExperiment.from_params(Params.from_file(config))
    datasets, vocabulary = experiment.prepare()
    model = experiment.make_model(vocabulary).eval()
    predictor = ImagePredictor(model, experiment.validation_dataset_reader)
    features, labels, splits = [], [], []
    for split, dataset in (("train", datasets.train), ("test", datasets.test)):
        assert dataset is not None, f"the config names no {split} images"
        features.append(predictor.embed(list(dataset)))
        labels += label_indices(list(dataset), vocabulary)
        splits += [split] * len(dataset)
    np.savez(output, X=np.concatenate(features), y=np.array(labels), split=np.array(splits))


def read_set(path: Path, seed: int = 0) -> Set:
    """Return a file's embeddings, a random part of a large set."""
    file = np.load(path)
    generator = np.random.default_rng(seed)
    parts = []
    for split, most in (("train", POOL), ("test", TEST)):
        rows = generator.permutation(np.flatnonzero(file["split"] == split))[:most]
        parts += [file["X"][rows], file["y"][rows]]
    return Set(path.stem, *parts)


def unbalanced(data: Set, seed: int = 0) -> Set:
    """Return the set with from 100 % down to 10 % of the pool of each class."""
    generator, kept = np.random.default_rng(seed), []
    for label in range(data.classes):
        rows = generator.permutation(np.flatnonzero(data.labels == label))
        share = 1 - 0.9 * label / (data.classes - 1)
        kept.append(rows[: math.ceil(share * len(rows))])
    rows = np.concatenate(kept)
    return data._replace(pool=data.pool[rows], labels=data.labels[rows])


def pools(data: Set, kinds: tuple[FeatureScalingKind, ...]) -> dict[str, PoolEmbeddings]:
    """Return the pool with each kind of scaling."""
    ids = [str(row) for row in range(len(data.pool))]
    return {
        kind: PoolEmbeddings(ids, data.pool, FeatureScaling.fit(kind, data.pool).apply)
        for kind in kinds
    }


def heads(
    data: Set, scaled: dict[str, PoolEmbeddings], chosen: np.ndarray, wanted: str
) -> Iterator[tuple[str, str, Any]]:
    """Yield name, kind of scaling and logits (a function) of each head that is wanted."""
    labels = data.labels[chosen]
    ids = [str(row) for row in chosen]
    for kind, pool in scaled.items():
        features = pool.scale(data.pool[chosen]).astype(np.float64)
        labeled = LabeledEmbeddings(ids, features, labels, np.ones(data.classes))
        made = {f"{kind}, logistic": partial(fitted, labeled, pool, ["none"])}
        if kind == "standardize":
            made[OLD] = partial(weakly_regularized, labeled)
        if kind == "center_l2":
            for prior in PRIORS:
                made[f"{kind}, {prior.replace('_', ' ')}"] = partial(fitted, labeled, pool, [prior])
            made[AUTO] = partial(fitted, labeled, pool, [*PRIORS, "none"])
            for prior in ("class_means", "discriminant_analysis"):
                made[f"{kind}, {prior.replace('_', ' ')} alone"] = partial(alone, labeled, prior)
            made[f"{kind}, nearest neighbors"] = partial(neighbors, labeled)
        for name, make in made.items():
            if re.search(wanted, name):
                yield name, kind, make()


def fitted(labeled: LabeledEmbeddings, pool: PoolEmbeddings, priors: list[Prior]) -> Logits:
    """Return the logits of `logistic_regression`."""
    return HeadFitter(labeled, pool).fit(priors, None).layer.logits


def weakly_regularized(labeled: LabeledEmbeddings) -> Logits:
    """Return the logits of the trainer with the configs of version 0.1."""
    problem = SoftmaxRegression(labeled.features, labeled.targets)
    return problem.fit(0.01 / (2 if len(labeled.class_weights) == 2 else 1)).logits


def alone(labeled: LabeledEmbeddings, prior: Prior) -> Logits:
    """Return the logits of the trainers `class_means` and `discriminant_analysis`."""
    return HeadFitter(labeled).closed_form(prior)[0].logits


def neighbors(labeled: LabeledEmbeddings) -> Logits:
    """Return the logits of the model `nearest_neighbors_classifier`."""
    vote = NeighborVote(labeled.features.shape[1], len(labeled.class_weights), 20, 0.1)
    vote.store(torch.from_numpy(labeled.features), torch.from_numpy(labeled.labels))
    return lambda features: vote(torch.from_numpy(features)).numpy()


def measure(
    data: Set, seeds: int, labels: list[int], is_whole: bool, wanted: str
) -> Iterator[dict[str, Any]]:
    """Yield accuracy and log-loss of each head, for each draw of labels."""
    pool = "balanced" if is_whole else "unbalanced"
    scaled = pools(data, KINDS if is_whole else ("center_l2",))
    tests = {
        kind: FeatureScaling.fit(kind, data.pool).apply(data.test).astype(np.float64)
        for kind in KINDS
    }
    for per_class in labels:
        if per_class * data.classes > 0.8 * len(data.pool):
            continue
        for seed in range(seeds):
            generator = np.random.default_rng(seed)
            order = [
                generator.permutation(np.flatnonzero(data.labels == label))[:per_class]
                for label in range(data.classes)
            ]
            for name, kind, logits_of in heads(data, scaled, np.concatenate(order), wanted):
                logits = logits_of(tests[kind])
                found, loss = logits.argmax(axis=1), log_loss(logits, data.test_labels).mean()
                right = found == data.test_labels
                by_class = [right[data.test_labels == c].mean() for c in range(data.classes)]
                yield {
                    "set": data.name,
                    "pool": pool,
                    "head": name,
                    "labels": per_class,
                    "seed": seed,
                    "accuracy": float(np.mean(by_class)),
                    "log_loss": float(loss),
                }


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the tables of all sets, and of each set, as Markdown."""
    labels = sorted({row["labels"] for row in rows})
    heads = list(dict.fromkeys(row["head"] for row in rows))
    cells: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        for value in ("accuracy", "log_loss"):
            cells[row["pool"], row["set"], row["head"], str(row["labels"]), value].append(
                row[value]
            )
    for pool in dict.fromkeys(row["pool"] for row in rows):
        sets = sorted({row["set"] for row in rows if row["pool"] == pool})
        for value, scale in (("accuracy", 100), ("log_loss", 1)):
            yield f"\n{value}, {pool} pool, mean over {len(sets)} sets\n"
            yield from table(cells, pool, sets, heads, labels, value, scale)
        for name in sets:
            yield f"\naccuracy, {pool} pool, {name}\n"
            yield from table(cells, pool, [name], heads, labels, "accuracy", 100)


def table(
    cells: dict[tuple[str, ...], list[float]],
    pool: str,
    sets: list[str],
    heads: list[str],
    labels: list[int],
    value: str,
    scale: int,
) -> Iterator[str]:
    """Yield one table: a row for each head, a column for each number of labels a class."""
    yield f"| labels a class | {' | '.join(map(str, labels))} |"
    yield f"|---|{'---:|' * len(labels)}"
    for head in heads:
        shown = []
        for count in labels:
            found = [cells[pool, name, head, str(count), value] for name in sets]
            found = [values for values in found if len(values) > 1]
            if not found:
                shown.append("")
                continue
            mean = statistics.mean(statistics.mean(values) for values in found)
            # Sets are what they are; draws of labels are the chance
            errors = [statistics.variance(values) / len(values) for values in found]
            error = math.sqrt(sum(errors)) / len(found)
            digits = 1 if scale == 100 else 2
            shown.append(f"{scale * mean:.{digits}f} ± {scale * error:.{digits}f}")
        if any(shown):
            yield f"| {head} | {' | '.join(shown)} |"


def main() -> None:
    """Encode, measure, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, nargs="*", help=".npz files")
    parser.add_argument("--encode", type=Path, metavar="CONFIG", help="write FEATURES and stop")
    parser.add_argument("--rows", type=Path, help="JSON lines: read, and extended by the new ones")
    parser.add_argument("--seeds", type=int, default=10, help="draws of labels (default: 10)")
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS), help="a class")
    parser.add_argument("--heads", default="", help="regular expression of names (default: all)")
    options = parser.parse_args()
    if options.encode:
        encode(options.encode, *options.features)
        return
    rows = []
    if options.rows and options.rows.exists():
        rows = [json.loads(line) for line in options.rows.read_text().splitlines()]
    for path in options.features:
        data = read_set(path)
        for is_whole in (True, False):
            part = data if is_whole else unbalanced(data)
            new = list(measure(part, options.seeds, options.labels, is_whole, options.heads))
            rows += new
            if options.rows:
                with options.rows.open("a") as file:
                    file.writelines(f"{json.dumps(row)}\n" for row in new)
    print("\n".join(tables(rows)))


if __name__ == "__main__":
    main()
