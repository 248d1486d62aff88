"""Time the runs of a comparison beside the same runs one by one.

    python benchmarks/comparison.py data/cifar10 [--runs 2] [--labels 60] [--times 3]

The folder has CIFAR-10 as `allencv-al benchmark cifar10` finds it; compressed files show the most.
Both contenders run the same configs on embeddings that are in the store before, in one process, in
turn: `active_learn` for each, and the workers of `allencv-al compare`. They must ask for the same
images and measure the same accuracies, or the script ends with an error.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.comparison.benchmark_sets import among_candidates, benchmark_config, find_data
from allencv_al.comparison.cell_workers import WorkerOptions, run_cells
from allencv_al.comparison.cells import Cell, plan_cells
from allencv_al.comparison.finished_run import read_cell
from allencv_al.data.dataset_readers.unpacked_files import kept_contents

SIDE = 32  # pixels; the runs begin when all images are encoded


def one_by_one(cells: list[Cell], store: Path) -> None:
    """Run each config as `allencv-al active-learn` does."""
    for cell in cells:
        active_learn(
            Params(dict(cell.config)), cell.folder, RunOptions(cache_folder=store, files=False)
        )


def compared(cells: list[Cell], store: Path) -> None:
    """Run the configs as `allencv-al compare` does."""
    with kept_contents():
        failures = run_cells(cells, 1, WorkerOptions(store, 1), lambda _: None)
    assert not failures, failures


CONTENDERS: dict[str, Callable[[list[Cell], Path], None]] = {
    "one by one": one_by_one,
    "one by one, again (A/A)": one_by_one,
    "as a comparison": compared,
}


def outcome(cells: list[Cell]) -> list[object]:
    """Return what the runs asked for and measured."""
    return [
        (record.metrics.get("accuracy"), [pick.id for pick in record.picks])
        for cell in cells
        for record in read_cell(cell).records
    ]


def main() -> None:
    """Run the contenders in turn and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with CIFAR-10")
    parser.add_argument("--runs", type=int, default=2, help="seeds of `margin` (default: 2)")
    parser.add_argument("--labels", type=int, default=60, help="of each run, in queries of 10")
    parser.add_argument("--times", type=int, default=3, help="how often each contender runs")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = find_data("cifar10", options.data, folder)
        rounds = options.labels // 10 - 1
        config = benchmark_config("cifar10", paths, "offline", 10, rounds, SIDE)
        margin = among_candidates({"margin": {"type": "margin"}}, "cifar10")
        one_by_one(plan_cells(Params(config), margin, [1], folder / "encoding"), folder / "store")
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
        found = None
        for turn in range(options.times):
            for number, (contender, run) in enumerate(CONTENDERS.items()):
                place = folder / f"{turn}_{number}"
                cells = plan_cells(Params(config), margin, range(1, options.runs + 1), place)
                started, cpu = time.perf_counter(), time.process_time()
                run(cells, folder / "store")
                seconds[contender].append(
                    (time.perf_counter() - started, time.process_time() - cpu)
                )
                found = found or outcome(cells)
                assert outcome(cells) == found, f"{contender}: other picks or accuracies"
    print(f"{options.runs} runs of {options.labels} labels, {os.cpu_count()} cores, load ", end="")
    print(f"{os.getloadavg()[0]:.1f}; medians of {options.times} interleaved turns\n")
    print("| runs | s a run | CPU s a run | CPU, x one by one |")
    print("|---|---:|---:|---:|")
    base = statistics.median(cpu for _, cpu in seconds["one by one"])
    for contender, both in seconds.items():
        wall, cpu = (statistics.median(values) for values in zip(*both, strict=True))
        shares = f"{wall / options.runs:.1f} | {cpu / options.runs:.1f} | {cpu / base:.2f}"
        print(f"| {contender} | {shares} |")


if __name__ == "__main__":
    main()
