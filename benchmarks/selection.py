"""Time the choice of a query, without the model, beside other libraries, in one interleaved run.

    python benchmarks/selection.py                                  # 10,000 and 50,000 items
    python benchmarks/selection.py --only-ours --sizes 1000000 --rounds 1
    python benchmarks/selection.py --only-ours --strategies bait --query 10 --dimensions 384
    python benchmarks/selection.py --only-ours --on-disk FOLDER --sizes 10000000 --rounds 1 \\
        --dimensions 384 --query 1000 --strategies margin k_center badge typiclust --timeout 1800
    python benchmarks/selection.py --sizes 10000 50000 1000000 --rounds 3 3 1 --output FILE.md

Each contender is a process of its own that makes the pool, tries a tiny pool first (imports,
threads), and then times one call. They take turns. `CPU s` is the processor time of the process,
which other work on the machine stretches less. `extra MB` is by how much the process grew
beyond its data and imports while it chose. Where the choice is no matter of chance, `picks` says
whether a contender picked what ours did, in the same order; ties may differ.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selection_contenders import (
    CLASSES,
    CONTENDERS,
    DETERMINISTIC,
    DIMENSIONS,
    FEWER_TARGETS,
    LABELED,
    MEMBERS,
    QUERY,
    STRATEGIES,
    TARGETS,
    make_data,
)

COLUMNS = "| strategy | pool | library | s | CPU s | times ours | extra MB | peak MB | picks |"


def status_megabytes(field: str) -> float:
    """Return the memory of this process, now (VmRSS) or at its height (VmHWM), in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    found = re.search(rf"{field}:\s+(\d+) kB", status.read_text(encoding="utf-8"))
    return int(found[1]) / 2**10 if found else 0.0


class AnonymousPeak(threading.Thread):
    """Watches the memory of this process that no file backs, in MB.

    VmHWM counts the pages of mapped files, too, which the system takes back when it needs them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        """Look every 20 ms until `end`."""
        while not self._over.wait(0.02):
            self.peak = max(self.peak, status_megabytes("RssAnon"))

    def end(self) -> float:
        """Return the peak."""
        self._over.set()
        self.join()
        return max(self.peak, status_megabytes("RssAnon"))


def run_here(
    contender: str, strategy: str, count: int, query: int, dimensions: int, folder: Path | None
) -> None:
    """Be the process of one contender: print its figures as JSON."""
    library = CONTENDERS[contender]
    try:
        importlib.import_module(library.module)
    except ImportError:
        print(json.dumps({"absent": True}))
        return
    library.make(strategy, make_data(strategy, 3 * query, query, dimensions))()
    choose = library.make(strategy, make_data(strategy, count, query, dimensions, folder))
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text(
            "5", encoding="utf-8"
        )  # the height of the memory starts anew
    before = status_megabytes("VmRSS" if folder is None else "RssAnon")
    anonymous = AnonymousPeak()
    if folder is not None:
        anonymous.start()
    start, processor = time.perf_counter(), time.process_time()
    picks = choose()
    seconds, cpu = time.perf_counter() - start, time.process_time() - processor
    peak = status_megabytes("VmHWM") if folder is None else anonymous.end()
    figures = {"seconds": seconds, "cpu": cpu, "extra": max(0.0, peak - before), "peak": peak}
    print(json.dumps({**figures, "picks": [int(pick) for pick in picks]}))


def run_apart(
    contender: str, strategy: str, count: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the figures of one contender, run in a process of its own."""
    cell = ["--contender", contender, "--strategies", strategy, "--sizes", str(count)]
    cell += ["--query", str(options.query), "--dimensions", str(options.dimensions)]
    if options.on_disk is not None:
        cell += ["--on-disk", str(options.on_disk)]
    command = [sys.executable, str(Path(__file__).resolve()), *cell]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=options.timeout)
    except subprocess.TimeoutExpired:
        return {"failed": f"over {options.timeout:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:60]}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def row(strategy: str, count: int, contender: str, runs: list[Any], own: list[Any]) -> str:
    """Return the medians of one contender, and how many times slower than ours it was."""
    start = f"| {strategy} | {count:,} | {contender} |"
    odd = next((run for run in runs if "seconds" not in run), None)
    if odd:
        return f"{start} {odd.get('failed', 'absent')} | | | | | |"
    seconds, cpu, extra, peak = (
        statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "extra", "peak")
    )
    ratio, same = "", ""
    if all("seconds" in run for run in own):
        pairs = zip(runs, own, strict=True)
        ratio = f"{statistics.median(r['seconds'] / o['seconds'] for r, o in pairs):.1f}"
    if strategy in DETERMINISTIC and "picks" in own[0]:
        common = len({*runs[0]["picks"]} & {*own[0]["picks"]})
        same = (
            "same"
            if runs[0]["picks"] == own[0]["picks"]
            else f"{common} of {len(own[0]['picks'])} in common"
        )
    return f"{start} {seconds:.3f} | {cpu:.3f} | {ratio} | {extra:.0f} | {peak:.0f} | {same} |"


def introduction(rounds: dict[int, int], query: int, dimensions: int) -> Iterator[str]:
    """Yield what the figures are of."""
    packages = ["numpy", "scikit-learn", *(library.package for library in CONTENDERS.values())]
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} absent")
    cpu = re.search(r"model name\s*: (.*)", _text("/proc/cpuinfo"))
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    yield f"D={dimensions}, C={CLASSES}, query {query}, {LABELED:,} labeled, S={MEMBERS},"
    yield f"{TARGETS:,} targets (above 10,000 items {FEWER_TARGETS}). Medians of rounds in turn:"
    yield f"{', '.join(f'{turns} at {size:,}' for size, turns in rounds.items())} items."
    yield f"{datetime.date.today()}, load {os.getloadavg()[0]:.1f},"
    yield f"{os.cpu_count()} cores ({cpu[1].strip() if cpu else platform.processor()}),"
    yield f"OMP_NUM_THREADS {threads}, Python {platform.python_version()};"
    yield f"{', '.join(versions)}."


def _text(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def rows(options: argparse.Namespace, rounds: dict[int, int]) -> Iterator[str]:
    """Run all cells; yield a row of each."""
    for count, turns in rounds.items():
        for strategy in options.strategies:
            names = [
                name
                for name, library in CONTENDERS.items()
                if count <= library.largest.get(strategy, 0)
                and not (options.only_ours and name != "allencv_al")
            ]
            runs: dict[str, list[Any]] = {name: [] for name in names}
            for _ in range(turns):
                for name in names:
                    runs[name].append(run_apart(name, strategy, count, options))
            for name in names:
                yield row(strategy, count, name, runs[name], runs[names[0]])


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[3], help="for each size, or all")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--query", type=int, default=QUERY, help="items to choose")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS, help="of the embeddings")
    parser.add_argument(
        "--on-disk",
        type=Path,
        metavar="FOLDER",
        help="keep the data there in float16, memory-mapped, as encode does; memory is then that "
        "which no file backs (Linux)",
    )
    parser.add_argument("--only-ours", action="store_true", help="leave the other libraries out")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one contender")
    parser.add_argument("--output", type=Path, help="write the table to this Markdown file, too")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        size, query, dimensions = options.sizes[0], options.query, options.dimensions
        folder = options.on_disk
        run_here(options.contender, options.strategies[0], size, query, dimensions, folder)
        return
    if len(options.rounds) not in (1, len(options.sizes)):
        parser.error(f"--rounds: expected 1 number, or {len(options.sizes)}, one for each size")
    turns = options.rounds * (len(options.sizes) if len(options.rounds) == 1 else 1)
    rounds = dict(zip(options.sizes, turns, strict=True))
    about = introduction(rounds, options.query, options.dimensions)
    head = [*about, "", COLUMNS, "|---|---:|---|---:|---:|---:|---:|---:|---|"]
    print("\n".join(head), flush=True)
    table = []
    for line in rows(options, rounds):
        print(line, flush=True)
        table.append(line)
    if options.output:
        from allencv_al.common.files.atomic_file import write_text

        command = " ".join(["python benchmarks/selection.py", *sys.argv[1:]])
        title = ["# Time and memory to choose images", "", f"Made by `{command}`.", ""]
        note = ["", *(__doc__ or "").split("\n\n")[2].strip().splitlines()]
        write_text(options.output, "\n".join([*title, *head, *table, *note]) + "\n")


if __name__ == "__main__":
    main()
