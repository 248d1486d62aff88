"""Finished runs, compared from their folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.errors import (
    DataError,
)
from allencv_al.comparison import comparison as module
from allencv_al.comparison.comparison import ComparisonOptions
from allencv_al.comparison.finished_run import FinishedRun, read_folder

MakeConfig = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def config(linear_config: MakeConfig) -> dict[str, Any]:
    return linear_config(budget=8)


def test_a_seed_whose_metric_is_no_number_is_told_and_left_out(tmp_path: Path) -> None:
    def run(strategy: str, seed: int, *values: float | None) -> FinishedRun:
        records = [
            RoundRecord(number, 4 * number, {"accuracy": value})
            for number, value in enumerate(values, start=1)
        ]
        return FinishedRun(strategy, seed, records, {})

    runs = [
        run("random", 0, 0.5, 0.6, 0.7),
        run("random", 1, None, None, None),
        run("margin", 0, 0.5, None, 0.8),
        run("margin", 1, 0.5, 0.7, 0.9),
    ]
    summary = module.write_comparison(runs, tmp_path / "c", ComparisonOptions({}, ()))
    assert summary.notes[:2] == (
        "random, seed 1: its accuracy is missing or not finite in every round, so it is left out.",
        "margin, seed 0: its accuracy is missing or not finite in round 2, left out of its curve.",
    )
    assert {found.strategy: found.seeds for found in summary.strategies} == {
        "random": (0,),
        "margin": (0, 1),
    }
    assert summary.notes[0] in (tmp_path / "c" / "results.md").read_text()
    with pytest.raises(DataError, match="no run has measured accuracy"):
        module.write_comparison(runs[1:2], tmp_path / "d", ComparisonOptions({}, ()))
    with pytest.raises(DataError, match=r'no run has measured miou: .* such as "accuracy"'):
        module.write_comparison(runs, tmp_path / "d", ComparisonOptions({}, (), metric="miou"))


def test_curves_over_objects_have_the_areas_of_a_fine_grid(tmp_path: Path) -> None:
    """A strategy that asks for crowded images pays for their boxes."""
    spent = {"random": (0, 10, 22, 30), "entropy": (0, 10, 40, 70)}
    heights = {"random": (0, 0.2, 0.4, 0.5), "entropy": (0, 0.2, 0.5, 0.7)}

    def run(name: str) -> FinishedRun:
        records = [
            RoundRecord(place, 5 * place, {"mean_average_precision": height}, objects=objects)
            for place, (objects, height) in enumerate(zip(spent[name], heights[name], strict=True))
            if place
        ]
        return FinishedRun(name, 0, records, {})

    runs = [run(name) for name in spent]
    by_images = module.write_comparison(runs, tmp_path / "images", ComparisonOptions({}, ()))
    assert by_images.ranked()[0].strategy == "entropy"
    options = ComparisonOptions({}, (), cost="objects")
    by_objects = module.write_comparison(runs, tmp_path / "objects", options)
    assert by_objects.labels.tolist() == [10, 22, 30]  # what both have
    grid = np.linspace(10, 30, 20_001)
    for found in by_objects.strategies:
        fine = np.interp(grid, spent[found.strategy], heights[found.strategy])
        assert found.aubc_mean == pytest.approx(np.trapezoid(fine, grid) / 20, abs=1e-7)
    assert by_objects.ranked()[0].strategy == "random"
    text = (tmp_path / "objects" / "results.md").read_text()
    assert "Labels are counted in objects" in text and "interpolated linearly, from 10" in text
    assert "Objects" in (tmp_path / "objects" / "report.html").read_text()
    assert "counted in objects" not in (tmp_path / "images" / "results.md").read_text()


def test_labels_without_objects_have_no_curve_over_them(tmp_path: Path) -> None:
    runs = [FinishedRun("random", 0, [RoundRecord(1, 5, {"miou": 0.5})], {})]
    with pytest.raises(DataError, match="no objects that are counted; boxes and several classes"):
        module.write_comparison(runs, tmp_path, ComparisonOptions({}, (), cost="objects"))


def test_finished_runs_are_dated_by_the_first_of_them(
    config: dict[str, Any], tmp_path: Path
) -> None:
    for number, started in enumerate(("2021-01-01", "2020-01-01")):
        folder = tmp_path / str(number)
        config["random_seed"] = number
        active_learn(Params(config), folder, RunOptions(files=False))
        known = {"started": started, "platform": f"machine {number}", "versions": {"torch": "1"}}
        (folder / "environment.json").write_text(json.dumps(known))
    runs = [read_folder(tmp_path / name) for name in "01"]
    module.write_comparison(runs, tmp_path / "c", ComparisonOptions({}, ()))
    text = (tmp_path / "c" / "results.md").read_text()
    assert "| date | 2020-01-01 |" in text.replace("\\", "")
    assert "machine" not in text and "torch version" in text


def test_finished_runs_are_compared_by_strategy_and_seed(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    strategies: list[Any] = [
        "random",
        "margin",
        {"type": "subsample", "size": 9, "strategy": "ratio"},
    ]
    folders = []
    for seed in (13370, 13371):
        for number, strategy in enumerate(strategies):
            folders.append(tmp_path / f"{number}_{seed}")
            config = linear_config(strategy=strategy, budget=8, _random_seed=seed)
            active_learn(Params(config), folders[-1], RunOptions(files=False))
    runs = [read_folder(folder) for folder in folders]
    summary = module.write_comparison(runs, tmp_path / "c", ComparisonOptions({}, ()))
    assert [found.strategy for found in summary.strategies] == [
        "random",
        "margin",
        'subsample {"size": 9, "strategy": "ratio"}',
    ]
    assert {found.seeds for found in summary.strategies} == {(13370, 13371)}
    assert (tmp_path / "c" / "report.html").is_file()


def test_the_same_run_twice_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    active_learn(Params(config), tmp_path / "a", RunOptions(files=False))
    runs = [read_folder(tmp_path / "a")] * 2
    with pytest.raises(DataError, match="margin has two curves for seed 13370"):
        module.write_comparison(runs, tmp_path / "c", ComparisonOptions({}, ()))


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing: expected the folder of a run of active-learn"):
        read_folder(tmp_path / "nothing")


@pytest.mark.parametrize("config", ['{"active_learning": ', "[]", '{"other": 1}'])
def test_a_folder_of_another_program_or_a_damaged_one_is_named(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "run.sqlite").touch()
    with pytest.raises(DataError, match="expected the folder of a run of active-learn"):
        read_folder(tmp_path)
