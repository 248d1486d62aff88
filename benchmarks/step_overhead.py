"""Time what a training loop adds to a bare PyTorch step, in one interleaved run.

    python benchmarks/step_overhead.py [--rounds N] [--steps N] [--json FILE]

All contenders (`step_loops.py`) train the same small network from the same weights on the same
batches of 8, on one thread; that they do is checked first. The bare loop has a data fetch of its
own: a slice of a permutation, two row copies out of tensors in memory, and pixels to 0..1. Ignite
and Lightning are given that fetch, too; our figure includes our data loader. In each round every
contender trains once, in turn, and its time per step is compared with that of the bare loop in the
same round. CPU time is the figure to read: the clock also counts what else the machine does.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from step_loops import Contender, contenders
from step_work import BATCH_SIZE, Stopwatch, Times, Work
from torch.nn import functional as F

SKIPPED = 50  # the first steps allocate, import and fill caches
LOSS_TOLERANCE = 1e-5
FAIR = (0.95, 1.05)  # the same loop twice must agree as well as this
MICROSECONDS = 1e6

Rounds = list[dict[str, Times]]


def check_equal_work(present: list[Contender], work: Work) -> str:
    """Train once by each contender; return what was compared, or exit if the work differs."""
    references: dict[bool, list[float]] = {}
    worst, sizes = 0.0, set()
    for contender in present:
        assert contender.loop is not None
        with recorded_losses() as losses:
            network = contender.loop(work, Stopwatch(work.steps, 0))
        sizes.add(sum(parameter.numel() for parameter in network.parameters()))
        reference = references.setdefault(contender.scheduled, losses)
        if len(losses) != len(reference) or len(sizes) > 1:
            sys.exit(f"unequal work: {contender.name}: {len(losses)} steps, parameters {sizes}")
        difference = max(abs(a - b) for a, b in zip(losses, reference, strict=True))
        if difference > LOSS_TOLERANCE:
            sys.exit(f"unequal work: {contender.name}: a loss differs by {difference:g}")
        worst = max(worst, difference)
    return (
        f"equal work: {sizes.pop()} parameters in each; the losses of all {work.steps} steps, with "
        f"and without the schedule, differ by {worst:.1g} at most"
    )


@contextmanager
def recorded_losses() -> Iterator[list[float]]:
    """Record every loss within the block: all contenders compute theirs by this function."""
    losses: list[float] = []
    original = F.cross_entropy

    def spy(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = original(*args, **kwargs)
        losses.append(loss.item())
        return loss

    F.cross_entropy = spy
    try:
        yield losses
    finally:
        F.cross_entropy = original


def measure(present: list[Contender], work: Work, rounds: int) -> Rounds:
    """Let every contender train once in each round; who begins changes from round to round."""
    gc.collect()
    gc.freeze()  # what the imports made is not searched during the measurement
    results = []
    for number in range(rounds):
        first = number % len(present)
        times = {}
        for contender in present[first:] + present[:first]:
            assert contender.loop is not None
            watch = Stopwatch(work.steps, min(SKIPPED, work.steps // 2))
            gc.collect()
            contender.loop(work, watch)
            times[contender.name] = watch.per_step
        results.append(times)
    return results


def summarize(contender: Contender, rounds: Rounds, floor: str) -> dict[str, Any]:
    """Return a line of the table, in microseconds per step."""
    if contender.loop is None:
        return {"name": contender.name, "absent": True}
    line: dict[str, Any] = {"name": contender.name, "absent": False}
    for clock in ("cpu", "wall"):
        times = [getattr(r[contender.name], clock) * MICROSECONDS for r in rounds]
        floors = [getattr(r[floor], clock) * MICROSECONDS for r in rounds]
        over = [time - bare for time, bare in zip(times, floors, strict=True)]
        low, middle, high = statistics.quantiles(over, n=4, method="inclusive")
        line[clock] = {
            "median": statistics.median(times),
            "best": min(times),
            "over_bare": middle,
            "over_bare_quartiles": [low, high],
            "ratio": statistics.median(t / b for t, b in zip(times, floors, strict=True)),
        }
    return line


def table(lines: list[dict[str, Any]]) -> str:
    """Return the lines as a Markdown table."""
    rows = [
        "| loop, µs per step | CPU | over bare (quartiles) | × bare | wall | wall over bare |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for line in lines:
        if line["absent"]:
            rows.append(f"| {line['name']} | absent | | | | |")
            continue
        cpu, wall = line["cpu"], line["wall"]
        low, high = cpu["over_bare_quartiles"]
        rows.append(
            f"| {line['name']} | {cpu['median']:.0f} | {cpu['over_bare']:.0f} "
            f"({low:.0f} to {high:.0f}) | {cpu['ratio']:.2f} | {wall['median']:.0f} "
            f"| {wall['over_bare']:.0f} |"
        )
    return "\n".join(rows)


def verdicts(all_of_them: list[Contender], lines: list[dict[str, Any]]) -> list[str]:
    """Say whether the run is valid and which framework costs least."""
    same = lines[1]["cpu"]["ratio"]
    valid = FAIR[0] <= same <= FAIR[1]
    cost = {
        contender.framework: line["cpu"]["over_bare"]
        for contender, line in zip(all_of_them, lines, strict=True)
        if contender.framework and not line["absent"]
    }
    order = ", ".join(f"{name} {cost[name]:.0f}" for name in sorted(cost, key=cost.__getitem__))
    return [
        f"A/A: the bare loop took {same:.3f} of its own time: "
        f"{'valid' if valid else 'INVALID, the machine is too busy; run it again'}",
        f"CPU µs per step over the bare loop, with loss, accuracy and schedule: {order}",
    ]


def conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    packages = {"torch": torch.__version__, "pytorch-ignite": "absent", "lightning": "absent"}
    for name in ("pytorch-ignite", "lightning"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "batch_size": BATCH_SIZE,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": packages,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--steps", type=int, default=400, help="steps per training (default: 400)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.steps < 20:
        parser.error("expected at least 2 rounds of at least 20 steps")
    torch.set_num_threads(1)
    all_of_them, work = contenders(), Work(arguments.steps)
    present = [contender for contender in all_of_them if contender.loop is not None]
    before = os.getloadavg()[0]
    equal = check_equal_work(present, work)
    rounds = measure(present, work, arguments.rounds)
    lines = [summarize(c, rounds, present[0].name) for c in all_of_them]
    report = {
        "conditions": conditions(arguments),
        "load": [before, os.getloadavg()[0]],
        "equal_work": equal,
        "lines": lines,
        "verdicts": verdicts(all_of_them, lines),
    }
    print(json.dumps(report["conditions"]))
    print(f"load {before:.1f} before, {report['load'][1]:.1f} after; {equal}")
    print(f"\n{table(lines)}\n")
    print("\n".join(report["verdicts"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
