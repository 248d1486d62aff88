"""Which training wrote a checkpoint, and whether it is there for the next loop."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.pipeline_errors import FunctionError
from allencv_al.service.pipeline.state import checkpoints
from allencv_al.service.pipeline.state.checkpoints import Checkpoints
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]


def loop(pipeline: Pipeline, number: int, selected: list[int]) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number}
    body["selected_indices"] = selected
    return pipeline.app.test_client().post("/one_loop", json=body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """EXPT_DIR."""
    found = tmp_path / "expt"
    found.mkdir()
    return found


@pytest.fixture
def of(folder: Path, tmp_path: Path) -> Checkpoints:
    return Checkpoints({"EXPT_DIR": str(folder)}, tmp_path / "state")


@pytest.mark.parametrize("suffix", ["", ".pth"])
def test_a_training_leaves_its_file_and_its_owner(
    suffix: str, of: Checkpoints, folder: Path
) -> None:
    began = of.begin("ckpt_0", "p/e")
    (folder / f"ckpt_0{suffix}").write_text("weights")
    assert of.end("ckpt_0", "p/e", began) == folder / f"ckpt_0{suffix}"
    found = of.training("ckpt_0")
    assert found is not None and (found.owner, found.is_file) == ("p/e", True)
    assert of.fault("ckpt_0", "p/e") is None and not of.is_elsewhere("ckpt_0")
    assert of.find("ckpt_1") is None and of.training("ckpt_1") is None


def test_a_file_of_an_earlier_training_is_not_that_of_this_one(
    of: Checkpoints, folder: Path
) -> None:
    old = folder / "ckpt_0"
    old.write_text("of last year")
    os.utime(old, (1, 1))
    assert of.end("ckpt_0", "e", old.stat().st_ctime + 10) is None
    assert of.end("ckpt_0", "e", old.stat().st_ctime) == old


def test_a_training_that_did_not_end_has_a_file_to_be_checked(
    of: Checkpoints, folder: Path
) -> None:
    of.begin("ckpt_0", "p/e")
    assert of.fault("ckpt_0", "p/e") == "expected the checkpoint ckpt_0 in EXPT_DIR"
    (folder / "ckpt_0").touch()
    assert of.fault("ckpt_0", "p/e") is None


@pytest.mark.parametrize(("owner", "by"), [("p/second", "p/second"), (None, "a request to /train")])
def test_a_checkpoint_of_another_owner_is_named(
    owner: str | None, by: str, of: Checkpoints, folder: Path
) -> None:
    (folder / "ckpt_0").touch()
    of.end("ckpt_0", owner, of.begin("ckpt_0", owner))
    expected = f"the checkpoint ckpt_0 in EXPT_DIR was overwritten by {by}"
    assert of.fault("ckpt_0", "p/first") == expected


def test_without_a_file_the_model_is_with_the_process_that_trained(
    of: Checkpoints, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ckpt_0", "ckpt_1"):
        assert of.end(name, "p/e", of.begin(name, "p/e")) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no checkpoint ckpt_0 in EXPT_DIR" in caplog.text, "the first one only"
    assert of.fault("ckpt_0", "p/e") is None and not of.is_elsewhere("ckpt_0")
    with of.needed("ckpt_0") as warnings:
        assert warnings == []
    monkeypatch.setattr(checkpoints, "_RUN", "another")
    assert of.is_elsewhere("ckpt_0")
    with (
        pytest.raises(FunctionError, match=r"no model \(train wrote no checkpoint ckpt_0 to"),
        of.needed("ckpt_0") as warnings,
    ):
        assert len(warnings) == 1
        raise FunctionError(AttributeError("no model"), "test")


@pytest.mark.parametrize("kept", ["ckpt_1", "ckpt_1.pth"])
def test_a_checkpoint_comes_from_the_storage(
    kept: str, of: Checkpoints, folder: Path, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path / "storage"))
    assert not of.fetch("ckpt_1", "p/e", storage)
    (tmp_path / kept).write_bytes(b"weights")
    storage.write_file(f"p/e/{kept}", tmp_path / kept)
    (folder / kept).write_bytes(b"of another experiment")
    assert of.fetch("ckpt_1", "p/e", storage)
    assert (folder / kept).read_bytes() == b"weights" and of.fault("ckpt_1", "p/e") is None
    assert not of.fetch("ckpt_10", "p/e", storage)


@pytest.mark.parametrize("suffix", ["", ".pth"])
def test_another_machine_goes_on_with_a_checkpoint_of_the_storage(
    suffix: str, make_pipeline: MakePipeline, functions: Any, tmp_path: Path
) -> None:
    def train(args: Any, labeled: Any, resume_from: Any, ckpt_file: Any) -> None:
        functions.train(args, labeled, resume_from, f"{ckpt_file}{suffix}")

    def test(args: Any, ckpt_file: Any) -> Any:
        return functions.test(args, f"{ckpt_file}{suffix}")

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return functions.infer(args, unlabeled, f"{ckpt_file}{suffix}")

    options = {"train_fn": train, "test_fn": test, "infer_fn": infer, "keep_checkpoints": True}
    options["storage_url"] = str(tmp_path / "shared")
    first = loop(make_pipeline(**options), 0, [0, 1, 2]).json
    assert Path(first["artifacts"]["checkpoint"]).name == f"ckpt_0{suffix}"
    other = make_pipeline(**options, args={"EXPT_DIR": str(tmp_path / "other")})
    assert loop(other, 1, [3, 4]).status_code == 200
    here, there = (tmp_path / name / f"ckpt_0{suffix}" for name in ("log", "other"))
    assert there.read_bytes() == here.read_bytes()
    assert not list((tmp_path / "other").glob("*.tmp"))


def test_a_checkpoint_that_was_changed_is_not_taken(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    options = {"keep_checkpoints": True, "storage_url": str(tmp_path / "shared")}
    loop(make_pipeline(**options), 0, [0, 1, 2])
    (tmp_path / "shared" / "p" / "e" / "ckpt_0").write_bytes(b"else")
    other = make_pipeline(**options, args={"EXPT_DIR": str(tmp_path / "other")})
    found = loop(other, 1, [3])
    assert found.status_code >= 400 and "is not what was written" in found.text
    assert not (tmp_path / "other" / "ckpt_0").exists()


def test_without_it_a_missing_checkpoint_is_a_conflict(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    options = {"storage_url": str(tmp_path / "shared")}
    loop(make_pipeline(**options), 0, [0, 1, 2])
    other = make_pipeline(**options, args={"EXPT_DIR": str(tmp_path / "other")})
    assert loop(other, 1, [3]).status_code == 409


def test_a_checkpoint_that_is_a_folder_is_left_here(
    make_pipeline: MakePipeline, functions: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def train(args: Any, labeled: Any, resume_from: Any, ckpt_file: Any) -> None:
        functions.train(args, labeled, resume_from, "weights")
        folder = Path(args["EXPT_DIR"]) / ckpt_file
        folder.mkdir()
        shutil.move(Path(args["EXPT_DIR"]) / "weights", folder / "weights")

    def test(args: Any, ckpt_file: Any) -> Any:
        return functions.test(args, f"{ckpt_file}/weights")

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return functions.infer(args, unlabeled, f"{ckpt_file}/weights")

    pipeline = make_pipeline(train_fn=train, test_fn=test, infer_fn=infer, keep_checkpoints=True)
    answer = loop(pipeline, 0, [0, 1, 2]).json
    assert "checkpoint" not in answer["artifacts"] and "ckpt_0 as a file" in caplog.text
