"""Several processes: the same results, nothing lost when any of them ends, and none left behind."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import Params
from allencv_al.common.config import registrable
from allencv_al.common.config.plugins import import_package
from allencv_al.common.errors import DataError
from allencv_al.comparison import cell_workers as workers_module
from allencv_al.comparison.comparison import ComparisonOptions, compare
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.selection.strategies import QueryStrategy

MakeConfig = Callable[..., dict[str, Any]]

RANDOM = {"type": "random"}
SECONDS_AT_MOST = 240.0

# A user's own package. `slow_one` takes its time, so that a test can kill what runs it.
PACKAGE = """
import os
import signal
import time
from pathlib import Path

from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.random import RandomStrategy


@QueryStrategy.register("own_{suffix}")
class Own(RandomStrategy):
    "Chooses at random."


@QueryStrategy.register("dies_{suffix}")
class Dies(RandomStrategy):
    "Ends its process, as a lack of memory does."

    def _pick(self, pool, count, seed):
        os.kill(os.getpid(), signal.SIGKILL)


@QueryStrategy.register("slow_{suffix}")
class Slow(RandomStrategy):
    "Says that it is at work, and works for long."

    def __init__(self, folder: str, seconds: float) -> None:
        super().__init__()
        self.folder, self.seconds = Path(folder), seconds

    def _pick(self, pool, count, seed):
        (self.folder / f"{{os.getpid()}}_{{time.monotonic_ns()}}").touch()
        time.sleep(self.seconds)
        return super()._pick(pool, count, seed)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The name of a user's package that can be imported, and the suffix of what it registers."""
    suffix = f"t{os.getpid()}_{time.monotonic_ns()}"
    name = f"package_{suffix}"
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / f"{name}.py").write_text(PACKAGE.format(suffix=suffix))
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    yield name, suffix
    registry = registrable._registries.get(QueryStrategy, {})
    for registered in [own for own in registry if own.endswith(suffix)]:
        del registry[registered]


def curves_of(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = [
        *("strategy", "seed", "round", "labels", "accuracy", "macro_f1", "negative_log_likelihood"),
        *("pool_accuracy", "coverage_radius", "redundancy"),
    ]
    return [tuple(row[name] for name in measured) for row in rows]


@pytest.mark.slow
def test_two_processes_find_what_one_finds(
    linear_config: MakeConfig, tmp_path: Path, package: tuple[str, str]
) -> None:
    """They know the user's package."""
    name, suffix = package
    import_package(name)
    params = Params(linear_config(budget=8))
    both = {"margin": {"type": "margin"}, "own": {"type": f"own_{suffix}"}}
    for workers in (1, 2):
        options = ComparisonOptions(both, range(2), workers=workers, packages=[name])
        compare(params, tmp_path / str(workers), options)
    assert curves_of(tmp_path / "2") == curves_of(tmp_path / "1")
    assert len(curves_of(tmp_path / "1")) == 2 * 2 * 2


@pytest.mark.slow
def test_of_a_process_that_dies_the_cell_is_named_and_others_do_the_rest(
    linear_config: MakeConfig, tmp_path: Path, package: tuple[str, str]
) -> None:
    name, suffix = package
    import_package(name)
    three = {"dies": {"type": f"dies_{suffix}"}, "margin": {"type": "margin"}, "random": RANDOM}
    options = ComparisonOptions(three, range(2), workers=3, packages=[name])
    with pytest.raises(DataError) as caught:
        compare(Params(linear_config(budget=8)), tmp_path / "c", options)
    assert str(caught.value) == (
        "2 runs failed; --recover runs them again:\n"
        "  dies, seed 0: its process ended (exit code -9) in 3 attempts\n"
        "  dies, seed 1: its process ended (exit code -9) in 3 attempts"
    )
    assert len(curves_of(tmp_path / "c")) == 2 * 2 * 2


@pytest.mark.slow
def test_the_cell_of_a_killed_process_is_done_by_another(comparison: Comparison) -> None:
    with comparison.at_work() as process:
        [pid, *_] = {int(sign.name.split("_")[0]) for sign in comparison.signs.iterdir()}
        os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=SECONDS_AT_MOST)
        assert process.returncode == 0, err
    check_finished(comparison)


# --- the parent ends ------------------------------------------------------------------------------


class Comparison:
    """One comparison by the command line, of slow strategies."""

    def __init__(self, config: dict[str, Any], folder: Path, package: tuple[str, str]) -> None:
        name, suffix = package
        self.folder = folder / "c"
        self.signs = folder / "signs"
        self.signs.mkdir()
        self._config = folder / "config.jsonnet"
        self._config.write_text(json.dumps(config))
        self._package, self._packages = name, folder / "packages"
        self.slow = {"type": f"slow_{suffix}", "folder": str(self.signs), "seconds": 0.4}

    def start(self, *more: str) -> subprocess.Popen[str]:
        words = [
            *(sys.executable, "-m", "allencv_al", "compare", str(self._config)),
            *("-s", str(self.folder), "--seeds", "3", "--workers", "2"),
            *("--strategies", json.dumps({"slow": self.slow, "random": "random"})),
            *("--include-package", self._package, *more),
        ]
        environment = {**os.environ, "PYTHONPATH": str(self._packages), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            words,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, so that all of it can be seen to end
        )

    @contextmanager
    def at_work(self, *more: str) -> Iterator[subprocess.Popen[str]]:
        """Start it and wait until two workers are amid their runs."""
        before = set(self.signs.iterdir())
        process = self.start(*more)
        until = time.monotonic() + SECONDS_AT_MOST
        while len({p.name.split("_")[0] for p in set(self.signs.iterdir()) - before}) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def wait_for_its_group(self, group: int) -> None:
        """Return once no process of the group is left; fail where one stays."""
        until = time.monotonic() + 20
        while True:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return
            assert time.monotonic() < until, "a worker has outlived the comparison"
            time.sleep(0.02)

    def labels(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the label events of each cell, without their times."""
        found = {}
        for path in sorted(self.folder.rglob(DATABASE_NAME)):
            with RunDatabase(path, create=False) as database:
                found[path.parent.relative_to(self.folder).as_posix()] = database.rows(
                    "SELECT event_id, id, label, round FROM label_event ORDER BY event_id"
                )
        return found


@pytest.fixture
def comparison(linear_config: MakeConfig, tmp_path: Path, package: tuple[str, str]) -> Comparison:
    return Comparison(linear_config(budget=12), tmp_path, package)


def finish(comparison: Comparison) -> None:
    process = comparison.start("--recover")
    out, err = process.communicate(timeout=SECONDS_AT_MOST)
    assert process.returncode == 0, err
    assert "slow" in out
    check_finished(comparison)


def check_finished(comparison: Comparison) -> None:
    cells = comparison.labels()
    assert len(cells) == 6
    for events in cells.values():
        assert len(events) == len({id for _, id, _, _ in events}) == 12
    assert len(curves_of(comparison.folder)) == 2 * 3 * 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_killed_parent_and_the_comparison_goes_on(
    comparison: Comparison, number: signal.Signals
) -> None:
    with comparison.at_work() as process:
        os.kill(process.pid, number)
        assert process.wait(timeout=20) == -number
        comparison.wait_for_its_group(process.pid)
    before = comparison.labels()
    finish(comparison)
    after = comparison.labels()
    for cell, events in before.items():
        assert after[cell][: len(events)] == events, "what was labeled is labeled once"


@pytest.mark.slow
def test_ctrl_c_ends_all_of_it_with_one_word(comparison: Comparison) -> None:
    with comparison.at_work() as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert err.splitlines()[-1] == "error: interrupted"
        comparison.wait_for_its_group(process.pid)
    finish(comparison)


@pytest.mark.slow
def test_two_comparisons_do_not_work_on_one_folder(comparison: Comparison) -> None:
    comparison.slow["seconds"] = 60
    with comparison.at_work():
        second = comparison.start("--recover")
        _, err = second.communicate(timeout=SECONDS_AT_MOST)
        assert second.returncode == 2
        assert "another process is at work on this run" in err


def test_missing_memory_ends_a_cell_as_it_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_cell(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(workers_module, "_run_cell", run_cell)
    failure = workers_module._failure_of(None, None, lambda: None)  # type: ignore[arg-type]
    assert failure == workers_module.Failure("out of memory", 1)


def test_a_run_with_slow_rounds_is_named() -> None:
    from allencv_al.comparison.cell_workers import Pace
    from allencv_al.comparison.cells import Cell

    now = [0.0]
    pace = Pace(lambda: now[0])
    random, margin, badge = (Cell(n, 0, Path(n), {}) for n in ("random", "margin", "badge"))
    for cell in (random, margin, badge):
        pace.begin(cell)
    now[0] = 0.5
    assert pace.round(random) == pace.round(margin) == "", "alike, and quick"
    now[0] = 6.5
    assert pace.round(badge) == "slow: badge, seed 0 (6.5 s a round)"
    for _ in range(20):
        now[0] += 6.0
        found = [pace.round(random), pace.round(margin)]
    assert found == ["", ""], "the others are as slow"
