"""Strategies over seeds: paired, each run once, whatever comes between."""

from __future__ import annotations

import errno
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.cifar_files import records
from fixtures.comparisons import BADGE, MARGIN, RANDOM, options, rows_of

from allencv_al.active_learning import run as run_module
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.errors import (
    ConfigurationError,
    ConfigurationFaults,
    DataError,
    TrainingError,
)
from allencv_al.comparison import cell_workers
from allencv_al.comparison.comparison import RunsFailed, compare
from allencv_al.data.dataset_readers import unpacked_files
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase
from allencv_al.selection.strategies.uncertainty import Margin
from allencv_al.training.interruption import TrainingInterrupted
from allencv_al.training.run_folder import is_of_a_run

MakeConfig = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.usefixtures("no_pictures")


def queries_of(folder: Path, name: str, seed: int, round: int) -> list[str]:
    path = folder / "cells" / name / f"seed_{seed:03d}" / DATABASE_NAME
    with RunDatabase(path, create=False) as database:
        return [query.id for query in RoundStore(database).queries(round)]


def labels_of(folder: Path, name: str, seed: int) -> dict[str, str]:
    path = folder / "cells" / name / f"seed_{seed:03d}" / DATABASE_NAME
    with RunDatabase(path, create=False) as database:
        return LabelStore(database).labels()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets the name of each cell that is run."""
    names: list[str] = []
    run = cell_workers._run_cell

    def watched(cell: Any, *rest: Any) -> None:
        names.append(cell.name)
        run(cell, *rest)

    monkeypatch.setattr(cell_workers, "_run_cell", watched)
    return names


# --- what comes of it -----------------------------------------------------------------------------


def test_a_comparison_leaves_tables_curves_and_a_report(
    config: dict[str, Any], tmp_path: Path
) -> None:
    summary = compare(Params(config), tmp_path / "c", options({"random": RANDOM, "margin": MARGIN}))
    folder = tmp_path / "c"
    assert {path.name for path in folder.iterdir()} >= {
        *("config.json", "comparison.json", "environment.json", "cells"),
        *("results.csv", "results.md", "report.html", "summary.json", "learning_curves.png"),
    }
    assert all(is_of_a_run(path.name) for path in folder.iterdir())
    rows = rows_of(folder)
    assert [(row["strategy"], row["seed"], row["labels"]) for row in rows] == [
        (name, seed, labels)
        for seed in ("0", "1")
        for name in ("random", "margin")
        for labels in ("4", "8")
    ]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert [found.strategy for found in summary.strategies] == ["random", "margin"]
    of_margin = summary.strategies[1]
    for seed in (0, 1):
        values = [
            float(row["accuracy"])
            for row in rows
            if (row["strategy"], row["seed"]) == ("margin", str(seed))
        ]
        assert of_margin.aubc[seed] == pytest.approx(np.mean(values))
    assert summary.baseline == "random" and of_margin.comparison is not None
    assert json.loads((folder / "summary.json").read_text())["baseline"] == "random"


def test_runs_of_a_seed_share_split_first_items_and_start(
    config: dict[str, Any], tmp_path: Path
) -> None:
    strategies = {"random": RANDOM, "margin": MARGIN, "badge": BADGE}
    compare(Params(config), tmp_path / "c", options(strategies))
    first = {
        seed: {tuple(queries_of(tmp_path / "c", name, seed, 0)) for name in strategies}
        for seed in (0, 1)
    }
    assert len(first[0]) == len(first[1]) == 1
    assert first[0] != first[1]
    rows = rows_of(tmp_path / "c")
    for seed in ("0", "1"):
        # The first model is trained on the same labels from the same start, and measured alike
        at_first = {
            (row["accuracy"], row["negative_log_likelihood"], row["coverage_radius"])
            for row in rows
            if row["seed"] == seed and row["labels"] == "4"
        }
        assert len(at_first) == 1
    second = {tuple(queries_of(tmp_path / "c", name, 0, 1)) for name in strategies}
    assert len(second) == 3


def test_a_network_starts_from_the_same_weights_for_all_strategies_of_a_seed(
    network_config: MakeConfig, tmp_path: Path
) -> None:
    compare(
        Params(network_config(budget=4)),
        tmp_path / "c",
        options({"random": RANDOM, "margin": MARGIN}),
    )
    rows = rows_of(tmp_path / "c")
    measured = {(row["seed"], row["negative_log_likelihood"]) for row in rows}
    assert len(rows) == 4 and len(measured) == 2


def test_all_cells_are_checked_and_unpacked_once(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network of a config is built for its check, and files take seconds to unpack."""
    folder = tmp_path / "cifar"
    folder.mkdir()
    for name, first in (("data_batch_1.bin.gz", 0), ("test_batch.bin.gz", 60)):
        (folder / name).write_bytes(gzip.compress(records(60, first).tobytes()))
    paths = {"train_data_path": f"{folder}::train", "test_data_path": f"{folder}::test"}
    resize = {"type": "resize", "height": 8, "width": 8}
    config |= {**paths, "dataset_reader": {"type": "cifar_binary", "augmentation": [resize]}}
    config["active_learning"].pop("test_fraction", None)
    unpacked, checked = [], []
    unpack, check = unpacked_files._unpacked, run_module.check_experiment
    monkeypatch.setattr(unpacked_files, "_unpacked", lambda p: unpacked.append(p.name) or unpack(p))
    monkeypatch.setattr(
        run_module, "check_experiment", lambda *args: checked.append(1) or check(*args)
    )
    compare(Params(config), tmp_path / "c", options({"random": RANDOM, "margin": MARGIN}))
    assert sorted(unpacked) == ["data_batch_1.bin.gz", "test_batch.bin.gz"]
    assert not checked, "the comparison does it, once for all seeds"
    cell = tmp_path / "c" / "cells" / "margin" / "seed_001"
    alone = json.loads((cell / "config.json").read_text())
    records_alone = active_learn(Params(alone), tmp_path / "alone", RunOptions(files=False))
    rows = [r for r in rows_of(tmp_path / "c") if (r["strategy"], r["seed"]) == ("margin", "1")]
    assert [float(row["accuracy"]) for row in rows] == [
        record.metrics["accuracy"] for record in records_alone if record.labels
    ]
    assert checked


def test_a_cell_is_the_run_that_active_learn_would_do(
    config: dict[str, Any], tmp_path: Path
) -> None:
    compare(Params(config), tmp_path / "c", options({"margin": MARGIN}, seeds=1))
    cell = tmp_path / "c" / "cells" / "margin" / "seed_000"
    alone = json.loads((cell / "config.json").read_text())
    records = active_learn(Params(alone), tmp_path / "alone", RunOptions(files=False))
    assert [pick.id for pick in records[1].picks] == queries_of(tmp_path / "c", "margin", 0, 1)


def test_images_are_encoded_once_for_all_runs(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allencv_al.data.dataset_readers.base import DatasetReader

    decoded: list[str] = []
    decode = DatasetReader.decode
    monkeypatch.setattr(
        DatasetReader, "decode", lambda self, item: decoded.append(item.id) or decode(self, item)
    )
    compare(Params(config), tmp_path / "c", options({"random": RANDOM, "margin": MARGIN}))
    assert len(decoded) == len(set(decoded)) == 60


# --- each run once --------------------------------------------------------------------------------


def test_nothing_is_run_twice(config: dict[str, Any], tmp_path: Path, runs: list[str]) -> None:
    params, folder = Params(config), tmp_path / "c"
    both = {"random": RANDOM, "margin": MARGIN}
    compare(params, folder, options(both))
    assert len(runs) == 4
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("run.sqlite*")}
    runs.clear()
    results = (folder / "results.csv").read_bytes()
    compare(params, folder, options(both, recover=True))
    assert runs == []
    assert (folder / "results.csv").read_bytes() == results
    compare(params, folder, options({**both, "badge": BADGE}, recover=True))
    assert runs == ["badge, seed 0", "badge, seed 1"]
    runs.clear()
    # Fewer are asked for, but those that are there belong to it, which is said
    summary = compare(params, folder, options({"margin": MARGIN}, seeds=3, recover=True))
    assert runs == ["random, seed 2", "margin, seed 2", "badge, seed 2"]
    kept = "The comparison also has, from earlier calls: strategies random, "
    assert summary.notes[0].startswith(f"{kept}badge. They remain a part of it")
    summary = compare(params, folder, options({**both, "badge": BADGE}, seeds=1, recover=True))
    assert "from earlier calls: seeds 1, 2. They remain" in summary.notes[0]
    assert summary.notes[0] in (folder / "results.md").read_text()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(rows_of(folder)) == 3 * 3 * 2


def test_a_run_that_was_cut_short_goes_on(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a cell, with one worker."""
    both = {"random": RANDOM, "margin": MARGIN}
    compare(Params(config), tmp_path / "whole", options(both))
    calls: list[int] = []
    score = Margin.score

    def interrupted(self: Margin, pool: Any) -> Any:
        calls.append(len(pool))
        if len(calls) == 1:
            raise KeyboardInterrupt
        return score(self, pool)

    monkeypatch.setattr(Margin, "score", interrupted)
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        compare(Params(config), folder, options(both))
    assert not (folder / "results.csv").exists()
    compare(Params(config), folder, options(both, recover=True))
    for name in both:
        for seed in (0, 1):
            assert labels_of(folder, name, seed) == labels_of(tmp_path / "whole", name, seed)


def test_a_run_that_a_power_cut_damaged_begins_anew(config: dict[str, Any], tmp_path: Path) -> None:
    folder, random = tmp_path / "c", {"random": RANDOM}
    compare(Params(config), folder, options(random, seeds=1))
    before, run = labels_of(folder, "random", 0), folder / "cells" / "random" / "seed_000"
    with RunDatabase(run / DATABASE_NAME) as database, database.transaction() as connection:
        last = "round = (SELECT max(round) FROM round_state)"
        connection.execute(f"DELETE FROM round_state WHERE {last} AND state != 'TRAIN'")
    for weights in run.glob("rounds/*/weights.safetensors"):
        weights.write_bytes(b"")  # its name reached the disk, and its content did not
    compare(Params(config), folder, options(random, seeds=1, recover=True))
    assert labels_of(folder, "random", 0) == before
    (run / "config.json").unlink()
    compare(Params(config), folder, options(random, seeds=1, recover=True))
    assert labels_of(folder, "random", 0) == before


def test_a_signal_during_a_training_ends_the_comparison_and_not_one_run_of_it(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[str]
) -> None:
    import signal

    from allencv_al.active_learning.learners.experiment_learner import ExperimentLearner

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise TrainingInterrupted(signal.SIGINT, "stopped in epoch 1")

    monkeypatch.setattr(ExperimentLearner, "train", interrupted)
    with pytest.raises(TrainingInterrupted):
        compare(Params(config), tmp_path / "c", options({"random": RANDOM, "margin": MARGIN}))
    assert runs == ["random, seed 0"]


def test_a_folder_without_a_config_is_begun_anew(config: dict[str, Any], tmp_path: Path) -> None:
    """Killed between making the folder and naming its first file."""
    folder = tmp_path / "c"
    compare(Params(config), folder, options({"random": RANDOM}, seeds=1))
    left = folder / "cells" / "margin" / "seed_000"
    left.mkdir(parents=True)
    (left / ".tmp-0123.json").write_text("{")
    compare(Params(config), folder, options({"margin": MARGIN}, seeds=1, recover=True))
    assert len(labels_of(folder, "margin", 0)) == 8


# --- runs that fail -------------------------------------------------------------------------------


def test_what_fails_is_named_and_what_the_others_found_is_written(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Margin.score

    def failing(self: Margin, pool: Any) -> Any:
        raise ZeroDivisionError("of a user's own strategy")

    monkeypatch.setattr(Margin, "score", failing)
    both, folder = {"random": RANDOM, "margin": MARGIN}, tmp_path / "c"
    with pytest.raises(DataError) as caught:
        compare(Params(config), folder, options(both))
    assert str(caught.value) == (
        "2 runs failed; --recover runs them again:\n"
        "  margin, seed 0: ZeroDivisionError: of a user's own strategy\n"
        "  margin, seed 1: ZeroDivisionError: of a user's own strategy"
    )
    assert {row["strategy"] for row in rows_of(folder)} == {"random"}
    assert (folder / "report.html").is_file()
    monkeypatch.setattr(Margin, "score", score)
    compare(Params(config), folder, options(both, recover=True))
    assert {row["strategy"] for row in rows_of(folder)} == {"random", "margin"}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "run"), 1, "run: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "run"), 2, "run: Permission denied"),
        (TrainingError("the loss is NaN"), 1, "the loss is NaN"),
        (DataError("x"), 2, "x"),
    ],
)
def test_a_run_that_fails_gives_the_exit_code_that_it_has_alone(
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    message: str,
) -> None:
    def failing(self: Margin, pool: Any) -> Any:
        raise error

    monkeypatch.setattr(Margin, "score", failing)
    with pytest.raises(RunsFailed, match=f"margin, seed 0: {message}") as caught:
        compare(Params(config), tmp_path / "c", options({"margin": MARGIN}, seeds=1))
    assert caught.value.exit_code == code


def test_where_all_fail_there_is_nothing_to_write(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Margin, pool: Any) -> Any:
        raise DataError("pool.logits: NaN or infinity for a")

    monkeypatch.setattr(Margin, "score", failing)
    with pytest.raises(DataError, match="1 run failed; --recover runs it again"):
        compare(Params(config), tmp_path / "c", options({"margin": MARGIN}, seeds=1))
    assert not (tmp_path / "c" / "results.csv").exists()


# --- what is wrong from the start -----------------------------------------------------------------


def test_strategies_that_cannot_run_are_told_before_any_does(
    config: dict[str, Any], tmp_path: Path, runs: list[str]
) -> None:
    strategies = {"random": RANDOM, "bald": {"type": "bald"}, "epig": {"type": "epig"}}
    with pytest.raises(ConfigurationFaults) as caught:
        compare(Params(config), tmp_path / "c", options(strategies))
    assert [fault.path for fault in caught.value.faults] == [
        "--strategies bald",
        "--strategies epig",
    ]
    assert "which dropout gives" in str(caught.value)
    assert runs == [] and not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("change", "metric", "message"),
    [
        ({"test_fraction": None}, "accuracy", "nothing measures accuracy: give test_data_path or"),
        ({"evaluate_pool": False}, "pool_accuracy", "evaluate_pool: pool_accuracy needs it"),
        ({"annotator": "file"}, "accuracy", "a comparison runs by itself"),
    ],
    ids=str,
)
def test_what_would_measure_nothing_is_told_before_anything_runs(
    linear_config: MakeConfig,
    tmp_path: Path,
    runs: list[str],
    change: dict[str, Any],
    metric: str,
    message: str,
) -> None:
    params = Params(linear_config(**change))
    with pytest.raises(ConfigurationError, match=message):
        compare(params, tmp_path / "c", options({"random": RANDOM}, metric=metric))
    assert runs == [] and not (tmp_path / "c").exists()


def test_the_pool_accuracy_can_be_compared_without_test_images(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(test_fraction=None, budget=8)
    found = options({"random": RANDOM, "margin": MARGIN}, seeds=1, metric="pool_accuracy")
    summary = compare(Params(config), tmp_path / "c", found)
    assert 0 < summary.strategies[0].aubc_mean < 1


# --- what the results say of it -------------------------------------------------------------------


def test_the_date_is_that_of_the_runs_and_the_time_holds_the_encoding(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allencv_al.active_learning.learners.experiment_learner import ExperimentLearner

    prepare = ExperimentLearner.prepare
    monkeypatch.setattr(ExperimentLearner, "prepare", lambda self: (time.sleep(0.5), prepare(self)))
    folder = tmp_path / "c"
    compare(Params(config), folder, options({"random": RANDOM}, seeds=1))
    environment = json.loads((folder / "environment.json").read_text())
    environment["started"] = "2020-02-02T02:02:02+00:00"
    (folder / "environment.json").write_text(json.dumps(environment))
    compare(Params(config), folder, options({"random": RANDOM}, seeds=1, recover=True))
    plan = json.loads((folder / "comparison.json").read_text())
    assert plan["encoding_seconds"] > 1  # of both calls
    for name in ("results.md", "report.html"):
        text = (folder / name).read_text()
        assert "2020-02-02T02:02:02" in text
    assert "encoding the images, once for all runs" in text
