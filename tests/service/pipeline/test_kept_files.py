"""What loops keep beside their results, and how `args` may be said."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]
BODY = {"experiment_id": "e", "project_id": "p"}


def loop(pipeline: Pipeline, number: int, selected: list[int]) -> Any:
    body = {**BODY, "cur_loop": number, "selected_indices": selected}
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_results_may_have_twins_for_old_readers(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    pipeline = make_pipeline(write_pickles=True)
    answer = loop(pipeline, 0, [0, 1, 2]).json
    folder = tmp_path / "log" / "storage" / "p" / "e"
    names = {path.stem for path in folder.glob("*.pkl")}
    assert names == {
        *("data_map", "insights_0", "test_predictions_0", "test_ground_truth", "metrics_0"),
        "infer_outputs_0",
    }
    with (folder / "metrics_0.pkl").open("rb") as file:
        assert pickle.load(file) == answer["metrics"]
    with (folder / "infer_outputs_0.pkl").open("rb") as file:
        outputs = pickle.load(file)
    assert sorted(outputs) == list(range(3, 60))
    logits = np.load(folder / "infer_outputs_0.npz")["logits"]
    assert outputs[3]["pre_softmax"] == pytest.approx(logits[0])
    # Nobody here reads them
    for path in folder.glob("*.pkl"):
        path.write_bytes(b"cos\nsystem\n(S'touch hurt'\ntR.")
    assert loop(pipeline, 1, [5]).status_code == 200


def test_without_being_asked_nothing_is_pickled(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    loop(make_pipeline(), 0, [0, 1, 2])
    assert not list(tmp_path.rglob("*.pkl")) and list(tmp_path.rglob("metrics_0.json"))


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


def test_outputs_of_other_records_do_not_replace_those_of_the_same_checkpoint(
    make_pipeline: MakePipeline,
) -> None:
    client = make_pipeline().app.test_client()
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "c"}
    client.post("/train", json=body)
    places = {
        client.post("/infer?store=1", json={"ckpt_file": "c", "unlabeled": records}).json[
            "artifact"
        ]
        for records in ([3, 4], [5, 6], [4, 3])
    }
    assert len(places) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "lr: 0.5\nEXPT_DIR: FOLDER\n"),
        ("config.json", '{"lr": 0.5, "EXPT_DIR": "FOLDER"}'),
        ("config.jsonnet", 'local half = 0.5; { lr: half, EXPT_DIR: "FOLDER" }'),
    ],
)
def test_args_may_be_a_file(
    name: str, text: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text.replace("FOLDER", str(tmp_path / "runs")))
    for given in (path, str(path)):
        pipeline = make_pipeline(args=given)
        assert pipeline.args["lr"] == 0.5 and (tmp_path / "runs").is_dir()


@pytest.mark.parametrize("name", ["none.yaml", "none.jsonnet"])
def test_a_file_that_is_not_there_is_named(
    name: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=name):
        make_pipeline(args=tmp_path / name)
