"""Runs of active learning that are killed, for tests/active_learning/test_kill_and_recover.py.

This process imports everything once and computes nothing. Each run is a child forked from it, which
is there at once; the hook kills it with SIGKILL, as `kill -9` does. The jobs come as JSON on stdin,
and what came of them goes as JSON to stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run import DATABASE_NAME, RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import RunDatabase

Config = dict[str, Any]
Hook = Callable[[str], None]

# What each child would import else
IMPORTED = (
    "allencv_al.active_learning.learners.experiment_learner",
    *(f"allencv_al.selection.strategies.{name}" for name in ("ensemble", "k_center")),
    *(
        "allencv_al.models.basic_classifier",
        "allencv_al.modules.im2im_encoders.feedforward_encoder",
    ),
    "allencv_al.training.trainers.gradient_descent_trainer",
    *("sklearn.linear_model", "torch._dynamo"),
)
KILLED = -signal.SIGKILL


class Job:
    """One run in a folder, in as many processes as it takes."""

    def __init__(self, config: Config, folder: Path, files: bool = False) -> None:
        self.config = config
        self.folder = folder
        self.files = files

    def start(self, on_point: Hook | None = None) -> int:
        """Fork a child that begins the run or goes on with it; return its number."""
        child = os.fork()
        if child:
            return child
        try:
            torch.set_num_threads(1)
            options = RunOptions(
                recover=(self.folder / "config.json").exists(), files=self.files, on_point=on_point
            )
            records = active_learn(Params(self.config), self.folder, options)
            with RunDatabase(self.folder / DATABASE_NAME, create=False) as database:
                found = result(records, LabelStore(database))
            self._path.write_text(json.dumps(found))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)

    def run(self, on_point: Hook | None = None) -> int:
        """Do the same and wait; return the exit code, negative for a signal."""
        return wait_for(self.start(on_point))

    def result(self) -> Any:
        return json.loads(self._path.read_text())

    def leftovers(self) -> list[str]:
        return sorted(
            path.relative_to(self.folder).as_posix()
            for pattern in (".tmp*", "outputs", "checkpoints")
            for path in self.folder.rglob(pattern)
        )

    @property
    def _path(self) -> Path:
        return self.folder.with_suffix(".json")


def wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def result(records: list[RoundRecord], labels: LabelStore) -> Any:
    """Return all that must be the same to the bit: no times, no memory."""
    rounds = [record.to_json() for record in records]
    for found in rounds:
        del found["seconds"], found["select_peak_mb"]
    events = [
        [e.event_id, e.id, e.label, e.annotator, e.round, e.source, str(e.kind), e.supersedes]
        for e in labels.events()
    ]
    return {"rounds": rounds, "events": events}


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def points_of(config: Config, folder: Path) -> tuple[Any, list[str]]:
    """Do a run without an interrupt; return its result and the points that it passed."""
    path = folder / "points.txt"
    folder.mkdir(parents=True, exist_ok=True)

    def note(name: str) -> None:
        with path.open("a") as file:
            file.write(f"{name}\n")

    job = Job(config, folder / "whole")
    assert job.run(note) == 0
    return job.result(), path.read_text().splitlines()


def kill_once(config: Config, folder: Path, files: bool = False) -> Iterator[dict[str, Any]]:
    """Kill a run at one point and let another process finish it, for each named point."""
    whole, points = points_of(config, folder)
    for name in dict.fromkeys(points):
        # The last time that it comes: a round with a model and rounds before it
        wanted = points.count(name)
        seen = iter(range(1, len(points) + 1))

        def kill(point: str, name: str = name, wanted: int = wanted, seen: Any = seen) -> None:
            if point == name and next(seen) == wanted:
                kill_self()

        job = Job(config, folder / name.replace(" ", "_"), files)
        codes = [job.run(kill), job.run()]
        same = codes[1] == 0 and job.result() == whole
        yield {"point": name, "codes": codes, "same": same, "leftovers": job.leftovers()}


def kill_everywhere(config: Config, folder: Path) -> Iterator[dict[str, Any]]:
    """Kill one run at every point that it passes, each in a process that goes on from there."""
    whole, points = points_of(config, folder)
    job = Job(config, folder / "killed")
    for number, name in enumerate(points):
        place: list[int] = []

        def kill(point: str, number: int = number, place: list[int] = place) -> None:
            # A process that goes on begins where the state is that was not finished
            if not place:
                place.append(max(i for i in range(number + 1) if points[i] == point))
            elif place[0] < number:
                place[0] += 1
            assert points[place[0]] == point, (points[place[0]], point)
            if place[0] == number:
                kill_self()

        code = job.run(kill)
        if code != KILLED:
            yield {"point": name, "codes": [code], "same": False, "leftovers": []}
            return
    code = job.run()
    same = code == 0 and job.result() == whole
    yield {
        "point": f"{len(points)} points",
        "codes": [KILLED, code],
        "same": same,
        "leftovers": job.leftovers(),
    }


def kill_at_random(config: Config, folder: Path, kills: int, seed: int) -> Iterator[dict[str, Any]]:
    """Kill a run at random moments, then let it finish; again, until there were so many kills."""
    started = time.monotonic()
    whole, _ = points_of(config, folder)
    seconds = time.monotonic() - started
    generator, done, attempt = random.Random(seed), 0, 0
    while done < kills:
        job, codes = Job(config, folder / f"random_{attempt}", files=False), []
        attempt += 1
        while done < kills:
            child = job.start()
            time.sleep(generator.uniform(0.0, 0.5) * seconds)
            os.kill(child, signal.SIGKILL)  # not reaped yet, so it is still there
            codes.append(wait_for(child))
            if codes[-1] != KILLED:
                break
            done += 1
        codes.append(job.run())
        same = codes[-1] == 0 and job.result() == whole
        yield {
            "point": f"seed {seed}, {len(codes) - 1} processes",
            "codes": codes,
            "same": same,
            "leftovers": job.leftovers(),
        }


MODES: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "once": kill_once,
    "everywhere": kill_everywhere,
    "random": kill_at_random,
}


def main() -> None:
    Image.init()
    for name in IMPORTED:
        importlib.import_module(name)
    found = []
    for job in json.load(sys.stdin):
        mode, folder = job.pop("mode"), Path(job.pop("folder"))
        found.append(list(MODES[mode](folder=folder, **job)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
