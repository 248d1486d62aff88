"""Compare loops of people who err: with second opinions, with three labels per image, with one.

    python benchmarks/relabeling.py runs/relabeling                       # digits
    python benchmarks/relabeling.py runs/cats_dogs --config loop.json     # a loop of your own

Each way is a run of `active-learn` with five simulated annotators, of whose labels `--noise` are
wrong. A label counts wherever it goes, so all ways spend the same; runs of one seed share the test
images, the first images and the annotators' errors. The table has the area under the learning curve
in percent, the last accuracy, and the paired difference to the first way with p of a t test.

Runs that are finished are not run again. Each way, strategy and seed has a folder.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from allencv_al.active_learning.rounds.curves import (
    Curve,
    curve_from_records,
    mean_height,
    tabulate,
)
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.comparison.finished_run import read_folder
from allencv_al.data.sample_data.digits import write_digits

WAYS: dict[str, dict[str, Any] | None] = {
    "majority of 3": {"choose": "always", "consensus": "majority", "most_per_image": 3},
    "one label": None,
    "relabel": {},
}


def digits_loop(folder: Path) -> dict[str, Any]:
    """Return a loop of logistic regressions on the pixels of digits."""
    data = write_digits(folder / "digits")
    return {
        "dataset_reader": {"type": "image_classification_directory"},
        "train_data_path": str(data / "train"),
        "test_data_path": str(data / "test"),
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
    }


def curve_of(
    config: dict[str, Any], way: str, seed: int, folder: Path, args: argparse.Namespace
) -> Curve:
    """Run a loop, unless it is finished, and return its accuracy over its labels."""
    loop = {
        **config.get("active_learning", {}),
        "strategy": args.strategy,
        "initial": {"size": 40, "strategy": "random"},
        "query_size": 20,
        "budget": args.budget,
        "annotator": {
            "type": "ground_truth",
            "annotators": 5,
            "noise": args.noise,
            "seed": seed,
        },
    }
    if WAYS[way] is not None:
        loop["relabel"] = WAYS[way]
    seeds = {"random_seed": seed, "numpy_seed": seed, "pytorch_seed": seed}
    params = Params({**config, **seeds, "active_learning": loop})
    cell = folder / way.replace(" ", "_") / args.strategy / f"seed_{seed:03d}"
    options = RunOptions(files=False, recover=cell.exists(), cache_folder=folder / "embeddings")
    active_learn(params, cell, options)
    curve = curve_from_records(read_folder(cell).records, way, seed)
    assert curve is not None
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder of the runs")
    parser.add_argument("--config", type=Path, help="a JSON config of a loop (default: digits)")
    parser.add_argument("--strategy", default="margin")
    parser.add_argument("--noise", type=float, default=0.2, help="share of wrong labels")
    parser.add_argument("--budget", type=int, default=400, help="labels")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    args.folder.mkdir(parents=True, exist_ok=True)
    config = (
        digits_loop(args.folder) if args.config is None else json.loads(args.config.read_text())
    )
    curves = [
        curve_of(config, way, seed, args.folder, args) for seed in range(args.seeds) for way in WAYS
    ]
    table = tabulate(curves)
    areas = {way: mean_height(table.labels, table.values[way]) for way in WAYS}
    first = areas[next(iter(WAYS))]
    print("| way | area | last | over the first | p |\n|---|--:|--:|--:|--:|")
    for way, found in areas.items():
        gain, compared = 100 * (found - first), "– | –"
        if gain.any():
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            p = stats.ttest_rel(found, first).pvalue
            compared = f"{gain.mean():+.1f} ± {error:.1f} | {p:.2g}"
        last = 100 * table.values[way][:, -1].mean()
        print(f"| {way} | {100 * found.mean():.1f} | {last:.1f} | {compared} |")


if __name__ == "__main__":
    main()
