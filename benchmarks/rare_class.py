"""Compare what helps where one class is rare: weights, sampling, and a threshold of the decision.

    python benchmarks/rare_class.py cifar10.npz more.npz --seeds 10

Files are those of heads.py: `X` float32 [N, D], `y` [N] and `split` ("train" or "test"); the test
images are those of the first. In each draw one class is the rare one: 20 training images of it and
400 of the others, as many to fit the threshold by, 80 and 1,600 to measure. Each row is a config
that `allencv-al train` takes.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score, f1_score

from allencv_al.common import Params
from allencv_al.data.vocabulary import LABEL_NAMESPACE
from allencv_al.models.archive import load_archive
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.training.training_run import train

SIZES = {"train": (20, 400), "validation": (20, 400), "test": (80, 1600)}
CONVEX = {
    "type": "logistic_regression",
    "prior": "auto",
    "inverse_regularization": "auto",
}
STEPS = {
    "type": "gradient_descent",
    "num_epochs": 60,
    "optimizer": {"type": "adam", "lr": 0.03},
    "checkpointer": None,
}
ROWS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"trainer": CONVEX},
    'logistic_regression, class_weights: "balanced"': {
        "trainer": CONVEX,
        "class_weights": "balanced",
    },
    "gradient_descent": {"trainer": STEPS},
    'gradient_descent, class_weights: "balanced"': {"trainer": STEPS, "class_weights": "balanced"},
    'gradient_descent, class_sampling: "square_root"': {
        "trainer": STEPS,
        "class_sampling": "square_root",
    },
    'gradient_descent, class_sampling: "balanced"': {
        "trainer": STEPS,
        "class_sampling": "balanced",
    },
}


def write_parts(files: list[Any], seed: int, folder: Path) -> None:
    """Write the vectors of a draw, each part to a file of its own."""
    generator = np.random.default_rng(seed)
    rare = seed % len(np.unique(files[0]["y"]))
    every = {
        split: [
            np.concatenate([file[name][file["split"] == split] for file in some]) for name in "Xy"
        ]
        for split, some in (("train", files), ("test", files[:1]))
    }
    used: dict[str, set[int]] = {"train": set(), "test": set()}
    for part, (of_rare, of_others) in SIZES.items():
        split = "test" if part == "test" else "train"
        vectors, labels = every[split]
        rows: list[int] = []
        for is_rare, count in ((True, of_rare), (False, of_others)):
            free = [
                row
                for row in np.flatnonzero((labels == rare) == is_rare).tolist()
                if row not in used[split]
            ]
            rows += generator.permutation(free)[:count].tolist()
        used[split] |= set(rows)
        names = np.where(labels[rows] == rare, "rare", "other")
        ids = [f"{split}-{row}" for row in rows]
        np.savez(folder / f"{part}.npz", embeddings=vectors[rows], ids=ids, labels=names)


def config_of(row: dict[str, Any], dimension: int, folder: Path) -> dict[str, Any]:
    """Return the config of a row."""
    model: dict[str, Any] = {
        "type": "basic_image_classifier",
        "im2vec_encoder": {"type": "pool", "input_channels": dimension},
        "embedding_scaling": "center_l2",
        "decision_class": "rare",
    }
    if "class_weights" in row:
        model["class_weights"] = row["class_weights"]
    loader: dict[str, Any] = {"batch_size": 32, "shuffle": True}
    if "class_sampling" in row:
        loader["class_sampling"] = row["class_sampling"]
    return {
        "dataset_reader": {"type": "vectors", "dimension": dimension},
        "train_data_path": str(folder / "train.npz"),
        "validation_data_path": str(folder / "validation.npz"),
        "model": model,
        "data_loader": loader,
        "trainer": row["trainer"],
    }


def measure(config: dict[str, Any], folder: Path) -> dict[str, tuple[float, float]]:
    """Train, and return F1 of the rare class and balanced accuracy, both ways of deciding."""
    train(Params(config), folder / "run", force=True)
    model = load_archive(folder / "run" / "model.tar.gz").model
    predictor = ImagePredictor.from_path(folder / "run" / "model.tar.gz")
    images = predictor.dataset_reader.read(folder / "test.npz")
    names = model.vocab.get_index_to_token_vocabulary(LABEL_NAMESPACE)
    logits = predictor.predict_logits(list(images))
    truth = [label == "rare" for label in images.labels()]
    decided = [str(one.unwrap()["class"]) for one in predictor.outcomes(list(images))]
    found = {
        "likeliest class": [names[place] == "rare" for place in logits.argmax(axis=1).tolist()],
        "`decision_class`": [name == "rare" for name in decided],
    }
    return {
        name: (
            100 * float(f1_score(truth, guess, zero_division=0)),
            100 * float(balanced_accuracy_score(truth, guess)),
        )
        for name, guess in found.items()
    }


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, nargs="+", help=".npz files")
    parser.add_argument("--seeds", type=int, default=10, help="draws of images (default: 10)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    files = [dict(np.load(path)) for path in options.features]
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.seeds):
            write_parts(files, seed, folder)
            for row, parts in ROWS.items():
                config = config_of(parts, files[0]["X"].shape[1], folder)
                for way, values in measure(config, folder).items():
                    found[row, way].append(values)
    print("| trained by | predicted | F1 of the rare class | balanced accuracy |")
    print("|---|---|---:|---:|")
    for (row, way), values in found.items():
        cells = [
            f"{statistics.mean(column):.1f} ± {statistics.stdev(column) / len(column) ** 0.5:.1f}"
            for column in zip(*values, strict=True)
        ]
        print(f"| {row} | {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
