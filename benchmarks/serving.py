"""Time the demo server beside other servers and beside predicting offline, in one run.

    python benchmarks/serving.py [FOLDER] [--output FILE.md] [--json FILE]

A ResNet-18 with random weights at 224 px. 1, 8 and 32 clients send an image, wait for the answer
and send the next (a closed loop) over connections that stay open; all they do is send bytes that
are there already. `FOLDER` holds `cats_dogs.tar` (CONTRIBUTING.md says where it comes from);
without it the images are made. In each round every contender serves every number of clients once,
in any order, while the processes of the others are stopped; the offline rate is measured in the
same round and on the same cores, by `Predictor.outcomes` over the same images. That all give the
same probabilities is checked first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import serving_contenders
import torch
from serving_load import Load, Server, free_port, load_of, process
from serving_work import IMAGES, SIDE, write_archive, write_images

CLIENTS = (1, 8, 32)
SERVERS = {
    "allencv_al": "**allencv_al**",
    "flask": "Flask, no batches",
    "litserve": "LitServe, batches of 8",
}
GOAL_SHARE = 0.9
GOAL_EXTRA_MS = 5.0


@dataclass
class Measured:
    """All rounds of one contender with one number of clients."""

    loads: list[Load] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


class Offline:
    """Predicting without a server, in a process of its own."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self.probabilities: list[list[float]] = self._answer()["probs"]

    def measure(self, count: int) -> tuple[float, dict[str, float]]:
        """Return images per second, and the seconds that a single image's two halves take."""
        assert self._running.stdin is not None
        self._running.stdin.write(f"{count}\n")
        self._running.stdin.flush()
        answer = self._answer()
        return count / answer["seconds"], answer

    def _answer(self) -> dict[str, Any]:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            sys.exit("offline: ended without an answer")
        return dict(json.loads(line))


# -- Measuring --------------------------------------------------------------------------------


@dataclass
class Run:
    """What all rounds found."""

    found: dict[tuple[str, int], Measured]
    rates: list[float] = field(default_factory=list)
    singles: list[dict[str, float]] = field(default_factory=list)

    def round(
        self,
        number: int,
        servers: list[Server],
        offline: Offline,
        contents: list[bytes],
        seconds: float,
    ) -> None:
        """Measure every contender once."""
        cells: list[tuple[Server, int] | None] = [
            (s, clients) for s in servers for clients in CLIENTS
        ]
        cells += [None, None]  # offline, at two moments of the round
        random.Random(number).shuffle(cells)
        count = max(2 * IMAGES, round(seconds * self.rates[-1])) if self.rates else 2 * IMAGES
        floor, loads = [], []
        for cell in cells:
            if cell is None:
                rate, single = offline.measure(count)
                floor.append(rate)
                self.singles.append(single)
                continue
            server, clients = cell
            with server.awake():
                load = load_of(server, [server.body(c) for c in contents], clients, seconds)
            loads.append((server.kind, clients, load))
            note(f"{server.kind}, {clients} clients: {load.rate:.1f} images/s")
        self.rates += floor
        note(f"round {number + 1}: offline {statistics.mean(floor):.1f} images/s")
        for kind, clients, load in loads:
            self.found[kind, clients].loads.append(load)
            self.found[kind, clients].shares.append(load.rate / statistics.mean(floor))


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Start everything, measure, and return the report."""
    conditions = conditions_of(arguments)
    archive = write_archive(scratch / "run")
    contents = write_images(scratch / "images", arguments.data)
    kinds = [kind for kind in SERVERS if serving_contenders.is_installed(kind)]
    run = Run({(kind, clients): Measured() for kind in kinds for clients in CLIENTS})
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        reader = command("offline", archive, scratch / "images")
        offline = Offline(stack.enter_context(process(reader, **pipes)))
        servers = []
        for kind in kinds:
            port = free_port()
            log = stack.enter_context((scratch / f"{kind}.log").open("w"))
            arguments_of_it = command(kind, archive, port)
            running = stack.enter_context(process(arguments_of_it, stdout=log, stderr=log))
            server = Server(kind, port, running)
            with server.awake():
                server.wait_until_ready(contents[0])
                worst = server.check(contents, offline.probabilities)
            note(f"{kind}: ready; probabilities differ by {worst:.1g} at most")
            servers.append(server)
        for number in range(arguments.rounds):
            run.round(number, servers, offline, contents, arguments.seconds)
    conditions["load_after"] = round(os.getloadavg()[0], 1)
    return report_of(run, kinds, conditions)


def command(*arguments: object) -> list[str]:
    """Return the command line of a contender's process."""
    return [sys.executable, str(serving_contenders.__file__), *map(str, arguments)]


def note(text: str) -> None:
    """Say on stderr how far it is."""
    print(text, file=sys.stderr, flush=True)


# -- The report -------------------------------------------------------------------------------


def report_of(run: Run, kinds: list[str], conditions: dict[str, Any]) -> dict[str, Any]:
    """Return all figures."""
    lines = [line_of(kind, clients, measured) for (kind, clients), measured in run.found.items()]
    absent = [kind for kind in SERVERS if kind not in kinds]
    alone = {
        name: 1000 * statistics.median(single[name] for single in run.singles)
        for name in ("decode", "model")
    }
    return {
        "conditions": conditions,
        "offline": statistics.median(run.rates),
        **alone,
        "lines": lines,
        "absent": absent,
        "verdicts": verdicts(lines, sum(alone.values())),
    }


def line_of(kind: str, clients: int, measured: Measured) -> dict[str, Any]:
    """Return a line of the table."""
    latencies = [seconds for load in measured.loads for seconds in load.latencies]
    if not latencies:
        sys.exit(f"{kind} with {clients} clients: no answer in the window; give more --seconds")
    return {
        "server": kind,
        "clients": clients,
        "rate": statistics.median(load.rate for load in measured.loads),
        **{f"p{name}": 1000 * percentile(latencies, name) for name in (50, 95, 99)},
        "share": statistics.median(measured.shares),
        "shares": sorted(measured.shares),
        "answers": len(latencies),
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` % of all do not exceed."""
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def verdicts(lines: list[dict[str, Any]], floor_ms: float) -> list[str]:
    """Return the goals, each with what was found."""
    ours = {line["clients"]: line for line in lines if line["server"] == "allencv_al"}
    most = max(CLIENTS)
    share, extra = ours[most]["share"], ours[1]["p50"] - floor_ms
    is_fast, is_quick = share >= GOAL_SHARE, extra <= GOAL_EXTRA_MS
    return [
        f"{most} clients: {share:.2f} of the offline rate; goal: at least {GOAL_SHARE}: "
        + ("reached" if is_fast else "**missed**"),
        f"1 client: p50 is decode + model {extra:+.1f} ms; goal: at most +{GOAL_EXTRA_MS:g} ms: "
        + ("reached" if is_quick else "**missed**"),
    ]


def table(lines: list[dict[str, Any]], absent: list[str]) -> str:
    """Return the lines as a Markdown table."""
    rows = [
        "| server | clients | images/s | p50, ms | p95, ms | p99, ms | share of offline (range) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for line in lines:
        times = " | ".join(f"{line[name]:.1f}" for name in ("rate", "p50", "p95", "p99"))
        share = f"{line['share']:.2f} ({line['shares'][0]:.2f} to {line['shares'][-1]:.2f})"
        rows.append(f"| {SERVERS[line['server']]} | {line['clients']} | {times} | {share} |")
    rows += [f"| {SERVERS[kind]} | absent | | | | | |" for kind in absent]
    return "\n".join(rows)


def page(report: dict[str, Any], options: str) -> str:
    """Return the whole result as Markdown."""
    at = report["conditions"]
    paragraphs = [
        "# Speed of serving",
        f"The demo server compared with other servers and with offline prediction: a ResNet-18\n"
        f"with random weights at {SIDE} px, {at['images']}, clients that send the next image when\n"
        "they have the answer. Servers and clients share the cores; servers take turns in one\n"
        "run. The other servers decode and predict with the same two functions; Flask runs behind\n"
        "our waitress.",
        f"Measured on {at['date']} on {at['cores']} cores ({at['processor']}), load "
        f"{at['load_before']} before and {at['load_after']} after,\nwith Python {at['python']}, "
        f"torch {at['torch']} and {at['threads']}; {at['rounds']} rounds of {at['seconds']:g} s.\n"
        "Ratios transfer between machines better than times.",
        f"```bash\npython benchmarks/serving.py{options}\n```",
        table(report["lines"], report["absent"]),
        f"Offline: {report['offline']:.1f} images/s, in batches of 32. A single image takes "
        f"{report['decode']:.1f} ms to decode\nand transform and {report['model']:.1f} ms in the "
        "model.",
        "\n".join(f"* {verdict}" for verdict in report["verdicts"]),
    ]
    return "\n\n".join(paragraphs) + "\n"


def conditions_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what has to be known of the machine."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "images": "photographs" if arguments.data else "made images of 500x375",
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
        "threads": f"{torch.get_num_threads()} threads for the model",
        "load_before": round(os.getloadavg()[0], 1),
    }


def processor() -> str:
    """Return the name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", metavar="FOLDER", help="the test data")
    parser.add_argument("--seconds", type=float, default=6.0, help="per measurement (default: 6)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--output", type=Path, help="write the Markdown page to this file, too")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("expected at least one round of more than 0 seconds")
    with tempfile.TemporaryDirectory() as scratch:
        report = measure(arguments, Path(scratch))
    folder = " FOLDER" if arguments.data else ""
    text = page(report, f"{folder} --seconds {arguments.seconds:g} --rounds {arguments.rounds}")
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
