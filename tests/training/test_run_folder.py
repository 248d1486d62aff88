"""The folder of a run is never overwritten by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.common import ConfigurationError, Params
from allencv_al.training.run_folder import open_run_folder

PARAMS = {"trainer": {"num_epochs": 3, "optimizer": {"lr": 0.1}}}


def start(folder: Path) -> None:
    open_run_folder(folder, Params(PARAMS), recover=False, force=False)


def test_a_new_folder_holds_the_config(tmp_path: Path) -> None:
    start(tmp_path / "run")
    written = Params.from_file(tmp_path / "run" / "config.json")
    assert written.as_dict() == PARAMS


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    start(tmp_path)
    assert (tmp_path / "config.json").is_file()


def test_what_was_killed_before_its_first_file_was_there_begins_anew(tmp_path: Path) -> None:
    (tmp_path / ".tmp-0123456789abcdef.json").write_text('{"trainer": ')
    start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_files_that_are_there_are_never_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds files already"):
        start(tmp_path)


def test_force_replaces_a_run_but_nothing_else(tmp_path: Path) -> None:
    start(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text("{}")
    open_run_folder(tmp_path / "run", Params(PARAMS), recover=False, force=True)
    assert not (tmp_path / "run" / "metrics.json").exists()

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"a photo")
    with pytest.raises(ConfigurationError, match="replaces only the folder of a run"):
        open_run_folder(tmp_path / "photos", Params(PARAMS), recover=False, force=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_recover_needs_something_to_recover(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigurationError, match="nothing to recover"):
            open_run_folder(folder, Params(PARAMS), recover=True, force=False)


def test_recover_with_another_config_lists_every_difference(tmp_path: Path) -> None:
    start(tmp_path)
    other = Params({"trainer": {"num_epochs": 4, "optimizer": {}, "patience": 2}})
    with pytest.raises(ConfigurationError) as caught:
        open_run_folder(tmp_path, other, recover=True, force=False)
    text = str(caught.value)
    assert "trainer.num_epochs: 3 before, 4 now" in text
    assert "trainer.optimizer.lr: 0.1 before, absent now" in text
    assert "trainer.patience: absent before, 2 now" in text


def test_recover_sweeps_what_a_kill_left(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / ".tmp-half.json").write_text("{")
    open_run_folder(tmp_path, Params(PARAMS), recover=True, force=False)
    assert not (tmp_path / ".tmp-half.json").exists()


def test_recover_and_force_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose one"):
        open_run_folder(tmp_path, Params(PARAMS), recover=True, force=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigurationError, match="found a file"):
        start(tmp_path / "run")
