"""The folder of a run is never overwritten by accident, and worked on by one process at a time."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from power_cut import record

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import sweep_temporaries
from allencv_al.common.files.run_lock import LOCK_NAME, is_locked, run_lock
from allencv_al.training.run_folder import check_run_folder, is_of_a_run, opened_run_folder

PARAMS: dict[str, Any] = {"trainer": {"num_epochs": 3, "optimizer": {"lr": 0.1}}}


def start(folder: Path, recover: bool = False, force: bool = False) -> None:
    with opened_run_folder(folder, Params(PARAMS), recover, force) as opened:
        opened.begin()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOCK_NAME}


def test_a_new_folder_holds_the_config(tmp_path: Path) -> None:
    start(tmp_path / "a" / "run")
    written = Params.from_file(tmp_path / "a" / "run" / "config.json")
    assert written.as_dict() == PARAMS


def test_a_folder_without_files_that_count_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    (tmp_path / LOCK_NAME).touch()
    start(tmp_path)
    assert names_in(tmp_path) == {".gitkeep", "config.json"}


def test_what_was_killed_before_its_first_file_was_there_begins_anew(tmp_path: Path) -> None:
    (tmp_path / ".tmp-0123456789abcdef.json").write_text('{"trainer": ')
    start(tmp_path)
    assert names_in(tmp_path) == {"config.json"}


def test_files_that_are_there_are_never_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match=r"no run \(thesis.tex\): choose another folder"):
        start(tmp_path)
    start(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="holds files already; --recover resumes"):
        start(tmp_path / "run")


def test_force_replaces_a_run_and_leaves_what_no_run_wrote(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start(tmp_path)
    for name in ("metrics.json", "metrics_epoch_7.json", "run.sqlite-wal", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    start(tmp_path, force=True)
    assert names_in(tmp_path) == {"config.json", "notes.txt"}
    assert "left as they are, no run wrote them: notes.txt" in caplog.text


@pytest.mark.parametrize("config", [None, '{"name": "my-web-page"}', '["trainer"]', '{"trainer":'])
def test_force_replaces_nothing_but_a_run(tmp_path: Path, config: str | None) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"a photo")
    (tmp_path / "checkpoints").mkdir()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    before = names_in(tmp_path)
    with pytest.raises(ConfigurationError, match="replaces only the folder of a run"):
        start(tmp_path, force=True)
    assert names_in(tmp_path) == before


def test_an_error_before_the_run_begins_leaves_no_trace(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        opened_run_folder(tmp_path / "a" / "run", Params(PARAMS), recover=False, force=False),
    ):
        (tmp_path / "a" / "run" / "log").mkdir()  # as a callback's constructor does
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_error_before_the_run_begins_leaves_the_run_it_was_to_replace(tmp_path: Path) -> None:
    start(tmp_path)
    for name in ("notes.txt", "metrics.json", ".gitkeep"):
        (tmp_path / name).write_text(name)
    with (
        pytest.raises(KeyboardInterrupt),
        opened_run_folder(tmp_path, Params({"trainer": {}}), recover=False, force=True),
    ):
        assert not (tmp_path / "metrics.json").exists()
        (tmp_path / "log").mkdir()
        raise KeyboardInterrupt
    assert names_in(tmp_path) == {"config.json", "notes.txt", "metrics.json", ".gitkeep"}
    assert json.loads((tmp_path / "config.json").read_text()) == PARAMS


def test_a_kill_or_a_power_cut_before_the_run_begins_changes_nothing(tmp_path: Path) -> None:
    run, killed = tmp_path / "run", tmp_path / "killed"
    start(run)
    for name in ("metrics.json", "notes.txt"):
        (run / name).write_text("of the first run")
    new = Params({"trainer": {}})
    with record(tmp_path) as log, opened_run_folder(run, new, recover=False, force=True) as opened:
        (run / "mine").mkdir()
        log.promise("made ready")
        opened.begin()
    cuts = [*log.cuts("flushed"), *log.cuts("everything")]
    for cut in cuts:
        shutil.copytree(cut.restore(tmp_path / "after") / "run", killed, dirs_exist_ok=True)
        recovered = cut.promised and cut.tree["run"].keys().isdisjoint({".replaced-run"})
        with opened_run_folder(killed, new if recovered else Params(PARAMS), True, False):
            found = names_in(killed)
        if not recovered:
            assert found == {"config.json", "metrics.json", "notes.txt"}, cut.moment
            assert (killed / "metrics.json").read_text() == "of the first run"
        shutil.rmtree(killed)
    assert recovered and len(cuts) > 10


@pytest.mark.parametrize(("recover", "left"), [(False, set()), (True, {"mine"})])
def test_a_first_run_that_was_killed_before_it_began_begins(
    tmp_path: Path, recover: bool, left: set[str]
) -> None:
    with opened_run_folder(tmp_path / "run", Params(PARAMS), recover=False, force=False):
        (tmp_path / "run" / "mine").mkdir()
        shutil.copytree(tmp_path / "run", tmp_path / "killed")
    start(tmp_path / "killed", recover=recover)
    assert names_in(tmp_path / "killed") == {"config.json"} | left


def test_an_error_after_the_run_has_begun_leaves_what_there_is(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        opened_run_folder(tmp_path / "run", Params(PARAMS), recover=False, force=False) as opened,
    ):
        opened.begin()
        (tmp_path / "run" / "metrics.jsonl").touch()
        raise ZeroDivisionError
    assert names_in(tmp_path / "run") == {"config.json", "metrics.jsonl"}


def test_the_folder_is_locked_before_anything_is_in_it(tmp_path: Path) -> None:
    with opened_run_folder(tmp_path / "run", Params(PARAMS), recover=False, force=False):
        assert is_locked(tmp_path / "run")
    assert not is_locked(tmp_path / "run")


@pytest.mark.parametrize(
    "flags", [{}, {"recover": True}, {"force": True}], ids=["plain", "recover", "force"]
)
def test_a_run_at_work_is_neither_shared_nor_replaced(
    tmp_path: Path, flags: dict[str, bool]
) -> None:
    start(tmp_path)
    (tmp_path / "metrics.json").touch()
    with run_lock(tmp_path), pytest.raises(DataError, match="at work on this run"):
        start(tmp_path, **flags)
    assert names_in(tmp_path) == {"config.json", "metrics.json"}


def test_recover_needs_something_to_recover(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(
            ConfigurationError, match=r"nothing to recover.*start without --recover"
        ):
            start(folder, recover=True)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ConfigurationError, match=r"nothing to recover.*choose the folder of the"):
        start(tmp_path, recover=True)
    assert not (tmp_path / "absent").exists()


def test_recover_with_another_config_lists_every_difference(tmp_path: Path) -> None:
    start(tmp_path)
    other = Params({"trainer": {"num_epochs": 4, "optimizer": {}, "patience": 2}})
    with pytest.raises(ConfigurationError) as caught:
        check_run_folder(tmp_path, other, recover=True, force=False)
    text = str(caught.value)
    assert "trainer.num_epochs: 3 before, 4 now" in text
    assert "trainer.optimizer.lr: 0.1 before, absent now" in text
    assert "trainer.patience: absent before, 2 now" in text


def test_recover_sweeps_what_a_kill_left(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / ".tmp-half.json").write_text("{")
    start(tmp_path, recover=True)
    assert not (tmp_path / ".tmp-half.json").exists()


def test_recover_and_force_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose one"):
        start(tmp_path, recover=True, force=True)


@pytest.mark.parametrize("path", ["file", "file/run", "file/a/b"])
def test_a_file_is_no_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="found a file"):
        start(tmp_path / path)


@pytest.mark.parametrize("path", ["shut", "shut/run"])
def test_a_folder_that_cannot_be_written_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (tmp_path / "shut").mkdir()
    monkeypatch.setattr(os, "access", lambda found, mode: found != tmp_path / "shut")
    with pytest.raises(ConfigurationError, match=r"cannot be written: .*shut is read-only"):
        start(tmp_path / path)


def test_names_of_a_run_are_told_from_others() -> None:
    assert is_of_a_run("metrics_epoch_12.json") and is_of_a_run("model.tar.gz")
    assert not is_of_a_run("notes.txt") and not is_of_a_run("my_model.tar.gz")


def begin_and_be_killed(folder: Path, params: dict[str, Any], force: bool) -> None:
    """Open the folder, write in it, and leave all as a kill before the run begins does."""
    killed = opened_run_folder(folder, Params(params), recover=False, force=force)
    opened = killed.__enter__()
    (folder / "log").mkdir()
    sweep_temporaries(folder)  # as a checkpointer does when it is made
    opened.has_begun = True  # nothing is put back
    killed.__exit__(None, None, None)


def test_a_kill_before_the_run_begins_costs_nothing(tmp_path: Path) -> None:
    begin_and_be_killed(tmp_path, PARAMS, force=False)
    start(tmp_path)
    assert names_in(tmp_path) == {"config.json"}


def test_a_kill_before_the_run_begins_leaves_the_run_it_was_to_replace(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "model.tar.gz").write_text("years of training")
    begin_and_be_killed(tmp_path, {"trainer": {"num_epochs": 9}}, force=True)
    start(tmp_path, recover=True)
    assert (tmp_path / "model.tar.gz").read_text() == "years of training"
    assert json.loads((tmp_path / "config.json").read_text()) == PARAMS
    assert not (tmp_path / "log").exists()
