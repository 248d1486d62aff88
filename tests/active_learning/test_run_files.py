"""The files of a run: what waiting shows, and pictures that cannot be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fixtures.loop_projects import Project

from allencv_al.active_learning import run_files
from allencv_al.predictors.predictor import Predictor


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
