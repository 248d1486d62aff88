"""Time a round of active learning with a frozen encoder: encoded once, and encoded in every round.

    python benchmarks/rounds.py [--images 400] [--rounds 3] [--size 96] [--weights FILE]

One process runs the same experiment both ways, in turn; a round is TRAIN, TEST, INFER and SELECT
together. In the first one the cache is filled; the medians are of the others. Both ways ask for the
same images.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STATES = ("train", "test", "infer", "select")
CLASSES = 4


def write_images(folder: Path, count: int, side: int) -> None:
    """Write noise in which each class has a color of its own."""
    generator = np.random.default_rng(0)
    colors = generator.integers(60, 200, (CLASSES, 3))
    for number in range(count):
        label = number % CLASSES
        pixels = np.clip(colors[label] + generator.normal(0, 60, (side, side, 3)), 0, 255)
        file = folder / str(label) / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(file, quality=90)


def config(data: Path, size: int, weights: str | None, cached: bool) -> dict[str, Any]:
    """Return an experiment on a frozen SqueezeNet."""
    resize = {"type": "resize", "height": size, "width": size, "interpolation": "smooth"}
    return {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [resize, {"type": "normalize"}],
        },
        "train_data_path": str(data),
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "torchvision",
                "model": "squeezenet1_1",
                "weights": weights,
                "requires_grad": False,
            },
            "im2vec_encoder": {"type": "pool", "input_channels": 512, "mode": "average"},
        },
        "trainer": {
            "type": "logistic_regression",
            "standardize": True,
            "inverse_regularization": 0.01,
        },
        "active_learning": {
            "initial": {"size": 20},
            "query_size": 20,
            "budget": 80,
            "test_fraction": 0.25,
            "cache_embeddings": cached,
        },
    }


def run(data: Path, options: argparse.Namespace, cached: bool) -> dict[str, Any]:
    """Return the seconds of the rounds of one run, and what it asked for."""
    from allencv_al.active_learning.run import RunOptions, active_learn
    from allencv_al.common import Params

    params = Params(config(data, options.size, options.weights, cached))
    with tempfile.TemporaryDirectory() as folder:
        records = active_learn(params, Path(folder) / "run", RunOptions(files=False))
    seconds = [sum(r.seconds.get(name, 0.0) for name in STATES) for r in records if r.labels]
    return {
        "first": seconds[0],
        "round": statistics.median(seconds[1:]),
        "picks": [pick.id for record in records for pick in record.picks],
    }


def main() -> None:
    """Run both ways in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is run")
    parser.add_argument("--weights", help="SqueezeNet weights; without them they are random")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    found: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images"
        write_images(data, options.images, 2 * options.size)
        for _ in range(options.rounds):
            for cached in (True, False):
                found[cached].append(run(data, options, cached))
    print(f"{options.images} images at {options.size} px, SqueezeNet 1.1, {os.cpu_count()} cores,")
    print(f"load {os.getloadavg()[0]:.1f}; medians of {options.rounds} interleaved runs\n")
    print("| way | first round, s | later rounds, s |")
    print("|---|---:|---:|")
    medians = {}
    for cached, name in ((True, "encoded once"), (False, "encoded in every round")):
        medians[cached] = statistics.median(run["round"] for run in found[cached])
        first = statistics.median(run["first"] for run in found[cached])
        print(f"| {name} | {first:.2f} | {medians[cached]:.3f} |")
    print(f"\nratio of later rounds: {medians[False] / medians[True]:.0f}")
    same = found[True][0]["picks"] == found[False][0]["picks"]
    print(f"picks: {'the same' if same else json.dumps('other')}")


if __name__ == "__main__":
    main()
