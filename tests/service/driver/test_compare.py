"""Strategies are compared on a pipeline as on a model of one's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.comparison.cells import check_comparison
from allencv_al.comparison.comparison import ComparisonOptions, compare

Serve = Callable[..., str]
MakeConfig = Callable[..., dict[str, Any]]
STRATEGIES = {name: {"type": name} for name in ("random", "margin")}


def rows_of(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "results.csv").open(newline="") as file:
        rows = csv.DictReader(file)
        return [(row["strategy"], row["seed"], row["labels"], row["accuracy"]) for row in rows]


def test_every_strategy_and_seed_drives_the_pipeline(
    serve: Serve, make_config: MakeConfig, functions: Any, tmp_path: Path
) -> None:
    params = Params(make_config(serve(), _token="secret-of-the-pipeline"))
    compare(params, tmp_path / "c", ComparisonOptions(STRATEGIES, range(2)))
    rows = rows_of(tmp_path / "c")
    assert len(rows) == 2 * 2 * 3
    assert {row[:3] for row in rows} == {
        (name, seed, labels)
        for name in STRATEGIES
        for seed in ("0", "1")
        for labels in ("4", "8", "12")
    }
    first = {(row[1], row[3]) for row in rows if row[2] == "4"}
    assert len(first) == 2  # the seeds begin with other records, the strategies with the same ones
    for path in (tmp_path / "c").rglob("*"):
        assert path.is_dir() or b"secret-of-the-pipeline" not in path.read_bytes(), path
    functions.calls.clear()
    compare(params, tmp_path / "c", ComparisonOptions(STRATEGIES, range(3), recover=True))
    assert len(rows_of(tmp_path / "c")) == 2 * 3 * 3
    trainings = [call for call in functions.calls if call.startswith("train")]
    assert len(trainings) == 2 * 3  # of the third seed alone


@pytest.mark.slow
def test_processes_that_share_a_pipeline_find_what_one_finds(
    serve: Serve, make_config: MakeConfig, tmp_path: Path
) -> None:
    params = Params(make_config(serve()))
    for workers in (1, 3):
        options = ComparisonOptions(STRATEGIES, range(2), workers=workers)
        compare(params, tmp_path / str(workers), options)
    assert rows_of(tmp_path / "3") == rows_of(tmp_path / "1")


def test_a_worker_is_there_for_one_run(make_config: MakeConfig) -> None:
    config = make_config("unused")
    config["active_learning"]["learner"] = {"type": "pipeline", "listen_port": 0}
    strategies = {"random": {"type": "random"}, "bald": {"type": "bald"}, "odd": {"type": "odd"}}
    with pytest.raises(ConfigurationFaults) as caught:
        check_comparison(Params(config), strategies, "c.jsonnet")
    assert [fault.path for fault in caught.value.faults] == [
        *("active_learning.learner.listen_port", "--strategies odd: type"),
    ]
    assert "by --runs" in str(caught.value)


def test_the_command_compares_random_with_the_strategy_of_the_config(
    serve: Serve, make_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "loop.json"
    config.write_text(json.dumps(make_config(serve(), strategy="entropy")))
    folder = tmp_path / "c"
    assert main(["compare", str(config), "--seeds", "2", "-s", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "random" in shown and "entropy" in shown
    assert "AUBC" in (folder / "report.html").read_text()


def test_strategies_that_no_pipeline_can_feed_are_named(
    serve: Serve, make_config: MakeConfig, functions: Any, tmp_path: Path
) -> None:
    strategies = {name: {"type": name} for name in ("random", "bald", "badge")}
    with pytest.raises(ConfigurationFaults) as caught:
        compare(
            Params(make_config(serve())), tmp_path / "c", ComparisonOptions(strategies, range(2))
        )
    assert [fault.path for fault in caught.value.faults] == [
        "--strategies bald",
        "--strategies badge",
    ]
    assert not functions.calls and not (tmp_path / "c").exists()
