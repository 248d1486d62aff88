"""The files of a run: what waiting shows, and pictures that cannot be drawn."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.loop_projects import Project

from allencv_al.active_learning import run_files
from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop_data import read_loop_data
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.active_learning.run_files import (
    TEST_ITEMS_NAME,
    read_encoding_cost,
    record_test_items,
)
from allencv_al.common import Params
from allencv_al.predictors.predictor import Predictor
from allencv_al.tasks import label_task


def test_a_contact_sheet_that_cannot_be_drawn_stops_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(run_files, "write_contact_sheet", fail)
    project.ask_a_person()
    assert project.run() == 3
    assert "picks.png: not drawn: no font" in project.err
    assert project.table.is_file()


def test_waiting_shows_what_is_there_so_far(project: Project) -> None:
    """A report and the model of the round, also when the command is run again for nothing."""
    project.ask_a_person()
    assert project.run() == 3
    assert (project.run_folder / "report.html").is_file()
    assert not (project.run_folder / "model.tar.gz").exists(), "nothing is trained yet"
    project.fill_in()
    assert project.run() == 3
    images = sorted((project.folder / "pictures").glob("*.png"))
    expected = Predictor.from_path(project.run_folder).predict_logits(images)
    assert project.run() == 3  # another process, which has trained nothing
    assert "0 of 3 images of round 1 have a label" in project.out
    found = Predictor.from_path(project.run_folder).predict_logits(images)
    assert np.array_equal(found, expected)
    assert np.ptp(expected, axis=0).max() > 0.1


def test_the_drawn_test_images_are_recorded_once(
    linear_config: Callable[..., dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = linear_config(test_fraction=0.25, budget=6)
    experiment = ActiveLearningExperiment.from_checked(Params(config))
    held_out = read_loop_data(experiment).test
    assert held_out is not None
    active_learn(Params(config), tmp_path / "run", RunOptions(files=False))
    path = tmp_path / "run" / TEST_ITEMS_NAME
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {(row["id"], row["label"]) for row in rows} == {(i.id, i.label) for i in held_out}
    assert len(rows) == len(held_out) and rows == sorted(rows, key=lambda row: row["id"])
    record_test_items(path, list(held_out), label_task())
    assert not caplog.records
    record_test_items(path, list(held_out)[1:], label_task())
    assert "other images measure now" in caplog.text
    assert len(path.read_text().splitlines()) == 1 + len(rows), "the record stays"


def test_test_images_that_a_path_names_need_no_record(
    linear_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = linear_config(budget=6, test_fraction=None)
    active_learn(Params(config), tmp_path / "run", RunOptions(files=False))
    assert not (tmp_path / "run" / TEST_ITEMS_NAME).exists()


def test_the_cost_of_encoding_is_that_of_all_calls_of_the_run(
    linear_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """The second call finds in the store what the first has encoded; another run finds all."""
    runs = (("run", 6, False), ("run", 10, True), ("other", 6, False))
    costs = []
    for name, budget, recover in runs:
        config = Params(linear_config(test_fraction=0.25, budget=budget))
        active_learn(config, tmp_path / name, RunOptions(recover=recover))
        cost = read_encoding_cost(tmp_path / name)
        assert cost is not None
        costs.append(cost)
    assert [(cost.encoded, cost.known) for cost in costs] == [(60, 0), (60, 0), (0, 60)]
    assert costs[1].seconds > costs[0].seconds > 0
    text = (tmp_path / "other" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"Images encoded.{0,40}0, 60 from the store, in ", text, re.DOTALL)
