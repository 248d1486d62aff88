"""Time what a user waits for before anything happens, in one interleaved run.

    python benchmarks/startup.py [--runs N]

Each contender is a whole process. They take turns, and the table gives the median of the CPU time
(user + system) and of the wall time, each also as a multiple of `python -c pass` in the same round.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "training_config" / "digits.jsonnet"


def contenders(folder: Path) -> dict[str, list[str]]:
    """Return the commands by name; the first one is the floor."""
    ours = [sys.executable, "-m", "allencv_al"]
    check = [*ours, "train", str(CONFIG), "--dry-run"]
    paths = [f"-VTRAIN_PATH={folder}", f"-VVALIDATION_PATH={folder}"]
    params = f"from allencv_al.common import Params; Params.from_file({str(CONFIG)!r}, ext_vars="
    variables = {"TRAIN_PATH": str(folder), "VALIDATION_PATH": str(folder)}
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "allencv-al --help": [*ours, "--help"],
        "allencv-al train --help": [*ours, "train", "--help"],
        "read a config": [sys.executable, "-c", f"{params}{variables!r})"],
        "check a config (train --dry-run)": [*check, *paths],
        "import torch": [sys.executable, "-c", "import torch"],
        "import torch, torchvision": [sys.executable, "-c", "import torch, torchvision"],
    }


def run_once(command: list[str]) -> tuple[float, float]:
    """Return the CPU and the wall seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ})
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, wall


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="rounds (default: 7)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        commands = contenders(Path(name))
        for command in commands.values():
            run_once(command)  # warm the file cache
        rounds = [{label: run_once(c) for label, c in commands.items()} for _ in range(runs)]
    floor = next(iter(commands))
    print(f"medians of {runs} interleaved rounds; load {os.getloadavg()[0]:.1f}\n")
    print("| command | CPU s | wall s | CPU / floor |\n|---|---:|---:|---:|")
    for label in commands:
        cpu = statistics.median(r[label][0] for r in rounds)
        wall = statistics.median(r[label][1] for r in rounds)
        ratio = statistics.median(r[label][0] / r[floor][0] for r in rounds)
        print(f"| {label} | {cpu:.3f} | {wall:.3f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
