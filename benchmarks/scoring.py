"""Time scoring a pool beside a bare inference loop over the same images, in one interleaved run.

    python benchmarks/scoring.py FOLDER [--images N] [--rounds N] [--json FILE]

`FOLDER` holds `cifar10/` and `weights/resnet20-12fca82f.th`; CONTRIBUTING.md says where they come
from. The bare loop has as many threads that decode and transform, as far ahead and by the same
handful; it collates and normalizes by the same functions and runs the same network on the same
batches. Then it keeps the logits in a list: no ids, no errors, no sizes that differ, no blocks, no
progress, no disk. In each round every contender runs once, in any order, and its time is compared
with that of the bare loop in the same round. That all give the same logits is checked first.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from allencv_al.active_learning import SampleSelector, ScoringOptions, compute_outputs
from allencv_al.common.seeding import item_seed
from allencv_al.data.batch import collate, to_device
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.predictors import ImagePredictor

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
READER = {"type": "cifar_binary", "augmentation": [{"type": "normalize"}]}
MODEL = {
    "type": "basic_image_classifier",
    "im2im_encoder": {"type": "cifar_resnet", "depth": 20, "shortcut": "A"},
    "im2vec_encoder": {"type": "pool", "input_channels": 64, "mode": "average"},
}
BATCH_SIZE, BATCHES_AHEAD, HANDFUL = 32, 2, 8  # what ours does by default with two threads
QUERY_SIZE = 100
TOLERANCE = 1e-3  # of logits of some 10; float32 sums in another order differ by some 1e-5
FAIR = (0.95, 1.05)  # the same loop twice must agree as well as this

EXACT = ScoringOptions(precision="fp32")  # as the bare loop; encoding.py has bf16

Run = Callable[[], Any]


def predictor(data: Path, threads: int) -> ImagePredictor:
    """Return a published network with its transforms."""
    weights = str(data / "weights" / "resnet20-12fca82f.th")
    vocabulary = Vocabulary({"labels": dict.fromkeys(CLASSES, 1)})
    model = Model.from_params({**MODEL, "weights_file": weights}, vocab=vocabulary)
    return ImagePredictor(model.eval(), DatasetReader.from_params(READER), threads)


def bare_loop(of: ImagePredictor, instances: Sequence[Instance], threads: int) -> np.ndarray:
    """Return the logits, with nothing around the network but decoding ahead in threads."""
    model, reader, device = of.model, of.dataset_reader, torch.device("cpu")

    def load(some: Sequence[Instance]) -> list[Sample]:
        return [reader.load(instance, item_seed(0, 0, instance.id)) for instance in some]

    jobs = [instances[start : start + HANDFUL] for start in range(0, len(instances), HANDFUL)]
    per_batch, logits = BATCH_SIZE // HANDFUL, []
    with ThreadPoolExecutor(threads) as pool, torch.no_grad():
        futures = [pool.submit(load, job) for job in jobs[: BATCHES_AHEAD * per_batch]]
        for start in range(0, len(jobs), per_batch):
            taken = slice(start, start + per_batch)
            samples = [sample for future in futures[taken] for sample in future.result()]
            further = jobs[len(futures) : len(futures) + per_batch]
            futures += [pool.submit(load, job) for job in further]
            some = [instance for job in jobs[taken] for instance in job]
            batch = collate(some, samples)
            tensors = to_device(batch, device, reader.deferred, torch.channels_last)
            logits.append(model(image=tensors["image"])["logits"].numpy())
    return np.concatenate(logits)


def contenders(data: Path, count: int, threads: int, scratch: Path) -> dict[str, Run]:
    """Return what is timed, by name; the first is what the others are compared with."""
    of = predictor(data, threads)
    instances = of.dataset_reader.read(data / "cifar10" / "test_batch.bin")[:count]
    both = ("logits", "embeddings")

    def kept() -> np.ndarray:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            return np.array(compute_outputs(of, instances, both, folder, EXACT).logits)

    return {
        "bare loop": lambda: bare_loop(of, instances, threads),
        "bare loop, again (A/A)": lambda: bare_loop(of, instances, threads),
        "`compute_outputs`, logits": lambda: (
            compute_outputs(of, instances, {"logits"}, None, EXACT).logits
        ),
        "... logits and embeddings, kept in a folder": kept,
        "`SampleSelector`, margin, 100 picks": lambda: SampleSelector(of, "margin", EXACT).select(
            instances, QUERY_SIZE
        ),
    }


def check_equal_work(runs: dict[str, Run]) -> str:
    """Run each once; return what was compared, or exit if logits differ."""
    reference, worst = None, 0.0
    for name, run in runs.items():
        logits = run()
        if not isinstance(logits, np.ndarray):
            continue
        reference = logits if reference is None else reference
        difference = float(np.abs(logits - reference).max())
        worst = max(worst, difference)
        if difference > TOLERANCE:
            sys.exit(f"unequal work: {name}: {difference:g} apart")
    return f"equal work: the logits of all differ by {worst:.1g} at most"


def measure(runs: dict[str, Run], rounds: int) -> list[dict[str, tuple[float, float]]]:
    """Return seconds of wall and CPU; the order changes from round to round."""
    gc.collect()
    gc.freeze()
    names, results = list(runs), []
    for number in range(rounds):
        times = {}
        for name in random.Random(number).sample(names, len(names)):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            runs[name]()
            times[name] = (time.perf_counter() - wall, time.process_time() - cpu)
        results.append(times)
    return results


def summarize(
    name: str, floor: str, results: list[dict[str, tuple[float, float]]], count: int
) -> dict[str, Any]:
    """Return a line of the table."""
    for_each = [[times[name][clock] / times[floor][clock] for times in results] for clock in (0, 1)]
    low, middle, high = statistics.quantiles(for_each[0], n=4, method="inclusive")
    wall = statistics.median(times[name][0] for times in results)
    return {
        "name": name,
        "images_per_second": count / wall,
        "wall": middle,
        "wall_quartiles": [low, high],
        "cpu": statistics.median(for_each[1]),
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Return the lines as a Markdown table."""
    rows = ["| | images/s | time, x bare (quartiles) | CPU, x bare |", "|---|---:|---:|---:|"]
    for line in lines:
        low, high = line["wall_quartiles"]
        rows.append(
            f"| {line['name']} | {line['images_per_second']:.0f} | {line['wall']:.3f} "
            f"({low:.3f} to {high:.3f}) | {line['cpu']:.3f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="FOLDER", help="the test data")
    parser.add_argument("--images", type=int, default=2000, help="images (default: 2000)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default: 9)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads that decode")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.images < BATCH_SIZE:
        parser.error(f"expected at least 2 rounds of at least {BATCH_SIZE} images")
    conditions = {
        "images": arguments.images,
        "rounds": arguments.rounds,
        "threads": [arguments.threads, torch.get_num_threads()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory() as scratch:
        runs = contenders(arguments.data, arguments.images, arguments.threads, Path(scratch))
        equal = check_equal_work(runs)
        results = measure(runs, arguments.rounds)
    conditions["load_after"] = round(os.getloadavg()[0], 1)
    floor = next(iter(runs))
    lines = [summarize(name, floor, results, arguments.images) for name in runs]
    same = lines[1]["wall"]
    fair = FAIR[0] <= same <= FAIR[1]
    print(json.dumps(conditions))
    print(f"{equal}\n\n{table(lines)}\n")
    print(
        f"A/A: {same:.3f}: {'valid' if fair else 'INVALID, the machine is too busy: run it again'}"
    )
    if arguments.json:
        report = {"conditions": conditions, "lines": lines}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
