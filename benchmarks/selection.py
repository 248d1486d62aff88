"""Time the choice of a query, without the model, beside other libraries, in one interleaved run.

    python benchmarks/selection.py [--sizes 10000 50000] [--rounds N] [--strategies k_center badge]

Each contender is a process of its own that makes the pool, tries a tiny pool first (imports,
threads), and then times one call. They take turns. `extra MB` is by how much the process grew
beyond its data and imports while it chose. Where the choice is no matter of chance, `picks` says
whether a contender picked what ours did, in the same order; ties may differ.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS, CLASSES, QUERY, LABELED, MEMBERS = 512, 10, 100, 1000, 20
DETERMINISTIC = ("entropy", "k_center", "bald")


@dataclass
class Data:
    """What the contenders choose from."""

    logits: np.ndarray
    embeddings: np.ndarray
    labeled: np.ndarray
    mc_logits: np.ndarray


def make_data(strategy: str, count: int) -> Data:
    """Return features as after a ReLU, and logits; empty where the strategy needs none."""
    generator = np.random.default_rng(0)
    logits = 2 * generator.standard_normal((count, CLASSES), dtype=np.float32)
    members = MEMBERS if strategy == "bald" else 0
    mc_logits = generator.standard_normal((count, members, CLASSES), dtype=np.float32)
    wide = DIMENSIONS if strategy in ("k_center", "badge") else 0
    embeddings = generator.standard_normal((count, wide), dtype=np.float32)
    np.maximum(embeddings, 0, out=embeddings)
    labeled = generator.standard_normal((LABELED, wide), dtype=np.float32)
    return Data(logits, embeddings, np.maximum(labeled, 0), mc_logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


Choice = Callable[[], Sequence[int]]


def ours(strategy: str, data: Data) -> Choice:
    """Our strategy of that name."""
    from allencv_al.active_learning import Pool, QueryStrategy

    chooser = QueryStrategy.by_name(strategy)()
    pool = Pool(
        ids=[str(index) for index in range(len(data.logits))],
        logits=data.logits,
        embeddings=data.embeddings,
        labeled_embeddings=data.labeled if strategy == "k_center" else None,
        mc_logits=data.mc_logits if strategy == "bald" else None,
    )
    return lambda: [int(id) for id in chooser.select(pool, QUERY, 0).ids]


def scikit_activeml(strategy: str, data: Data) -> Choice:
    """scikit-activeml; its classifier is a table of the probabilities, which costs nothing."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge, CoreSet, UncertaintySampling

    class Table(SkactivemlClassifier):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Table:  # noqa: N803
            return self

        def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
            return probabilities

    count = len(data.logits)
    unlabeled = np.full(count, np.nan)
    if strategy == "k_center":
        everything = np.concatenate([data.labeled, data.embeddings])
        data.labeled = data.embeddings = everything[:0]
        labels = np.concatenate([np.zeros(LABELED), unlabeled])
        core_set = CoreSet(random_state=0)
        return lambda: [i - LABELED for i in core_set.query(everything, labels, batch_size=QUERY)]
    probabilities = softmax(data.logits)
    options = {"clf": Table(classes=list(range(CLASSES))), "fit_clf": False, "batch_size": QUERY}
    if strategy == "badge":
        badge = Badge(random_state=0)
        return lambda: badge.query(data.embeddings, unlabeled, **options)
    sampling = UncertaintySampling(method="entropy", random_state=0)
    return lambda: sampling.query(data.logits, unlabeled, **options)


def baal(strategy: str, data: Data) -> Choice:
    """baal, whose heuristics rank the whole pool."""
    from baal.active import heuristics

    if strategy == "bald":
        probabilities = np.moveaxis(softmax(data.mc_logits), 1, 2)
        return lambda: heuristics.BALD()(probabilities)[:QUERY]
    return lambda: heuristics.Entropy()(softmax(data.logits)[..., None])[:QUERY]


def lightly_mundig(strategy: str, data: Data) -> Choice:
    """lightly-mundig, whose diversity is k-center; it counts the labeled items as selected."""
    from lightly_mundig import Selection

    everything = np.concatenate([data.labeled, data.embeddings])
    data.labeled = data.embeddings = everything[:0]

    def choose() -> list[int]:
        selection = Selection()
        selection.add_diversifying_strategy(everything, 1.0)
        chosen = selection.run_selection(list(range(LABELED)), len(everything), LABELED + QUERY)
        return [index - LABELED for index in chosen if index >= LABELED]

    return choose


CONTENDERS: dict[str, tuple[str, Callable[[str, Data], Choice], tuple[str, ...]]] = {
    "allencv_al": ("allencv_al", ours, ("entropy", "bald", "k_center", "badge")),
    "scikit-activeml": ("skactiveml", scikit_activeml, ("entropy", "k_center", "badge")),
    "lightly-mundig": ("lightly_mundig", lightly_mundig, ("k_center",)),
    "baal": ("baal", baal, ("entropy", "bald")),
}


def status_megabytes(field: str) -> float:
    """Return the memory of this process, now (VmRSS) or at its height (VmHWM), in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    found = re.search(rf"{field}:\s+(\d+) kB", status.read_text())
    return int(found[1]) / 2**10 if found else 0.0


def run_here(contender: str, strategy: str, count: int) -> None:
    """Be the process of one contender: print its figures as JSON."""
    module, make, _ = CONTENDERS[contender]
    try:
        importlib.import_module(module)
    except ImportError:
        print(json.dumps({"absent": True}))
        return
    make(strategy, make_data(strategy, 3 * QUERY))()
    choose = make(strategy, make_data(strategy, count))
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # the height of the memory starts anew
    before = status_megabytes("VmRSS")
    start = time.perf_counter()
    picks = choose()
    seconds = time.perf_counter() - start
    peak = status_megabytes("VmHWM")
    figures = {"seconds": seconds, "extra": max(0.0, peak - before), "peak": peak}
    print(json.dumps({**figures, "picks": [int(pick) for pick in picks]}))


def run_apart(contender: str, strategy: str, count: int, timeout: float) -> dict[str, Any]:
    """Return the figures of one contender, run in a process of its own."""
    cell = ["--contender", contender, "--strategies", strategy, "--sizes", str(count)]
    command = [sys.executable, str(Path(__file__).resolve()), *cell]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"failed": f"over {timeout:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:60]}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def print_row(strategy: str, count: int, contender: str, runs: list[Any], own: list[Any]) -> None:
    """Print the medians of one contender, and how many times slower than ours it was."""
    start = f"| {strategy} | {count:,} | {contender} |"
    odd = next((run for run in runs if "seconds" not in run), None)
    if odd:
        print(start, odd.get("failed", "absent"), "| | | | |", flush=True)
        return
    seconds, extra, peak = (
        statistics.median(run[key] for run in runs) for key in ("seconds", "extra", "peak")
    )
    ratio, same = "", ""
    if all("seconds" in run for run in own):
        pairs = zip(runs, own, strict=True)
        ratio = f"{statistics.median(r['seconds'] / o['seconds'] for r, o in pairs):.1f}"
    if strategy in DETERMINISTIC and "picks" in own[0]:
        common = len({*runs[0]["picks"]} & {*own[0]["picks"]})
        same = "same" if runs[0]["picks"] == own[0]["picks"] else f"{common} of {QUERY} in common"
    print(start, f"{seconds:.3f} | {ratio} | {extra:.0f} | {peak:.0f} | {same} |", flush=True)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strategies", nargs="+", default=["entropy", "bald", "k_center", "badge"])
    parser.add_argument("--only-ours", action="store_true", help="for pools too large for others")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one contender")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        run_here(options.contender, options.strategies[0], options.sizes[0])
        return
    print(f"D={DIMENSIONS}, C={CLASSES}, query {QUERY}, {LABELED} labeled, S={MEMBERS}; medians of")
    print(f"{options.rounds} interleaved rounds; {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}\n")
    print("| strategy | pool | library | s | times ours | extra MB | peak MB | picks |")
    print("|---|---:|---|---:|---:|---:|---:|---|")
    for count in options.sizes:
        for strategy in options.strategies:
            names = [name for name, (_, _, known) in CONTENDERS.items() if strategy in known]
            names = names[:1] if options.only_ours else names
            runs: dict[str, list[Any]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    runs[name].append(run_apart(name, strategy, count, options.timeout))
            for name in names:
                print_row(strategy, count, name, runs[name], runs[names[0]])


if __name__ == "__main__":
    main()
