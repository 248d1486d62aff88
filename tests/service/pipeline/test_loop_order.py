"""Loops follow each other, wherever models are kept, in one experiment or several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state import checkpoints

MakePipeline = Callable[..., Pipeline]


def loop(pipeline: Pipeline, number: int, experiment: str = "e", **more: Any) -> Any:
    body = {"experiment_id": experiment, "project_id": "p", "cur_loop": number}
    body["selected_indices"] = [3 * number, 3 * number + 1, 3 * number + 2]
    return pipeline.app.test_client().post("/one_loop", json={**body, **more})


class InMemory:
    """Functions whose model is a variable, as a first notebook has it."""

    def __init__(self, functions: Any, folder: Path) -> None:
        self._functions = functions
        self._args = {"EXPT_DIR": str(folder)}
        self.calls = functions.calls
        self.has_model = False
        folder.mkdir()

    def train(self, args: Any, labeled: Any, resume_from: Any, ckpt_file: Any) -> None:
        if resume_from is not None and not self.has_model:
            raise AttributeError("there is no model")
        self._functions.train(self._args, labeled, resume_from, "model")
        self.has_model = True

    def test(self, args: Any, ckpt_file: Any) -> Any:
        if not self.has_model:
            raise AttributeError("there is no model")
        return self._functions.test(self._args, "model")

    def infer(self, args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return self._functions.infer(self._args, unlabeled, "model")

    def pipeline(self, make: MakePipeline, **options: Any) -> Pipeline:
        parts = {"train_fn": self.train, "test_fn": self.test, "infer_fn": self.infer}
        return make(**{**parts, **options})


@pytest.fixture
def in_memory(functions: Any, tmp_path: Path) -> InMemory:
    return InMemory(functions, tmp_path / "elsewhere")


def as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_RUN", "another")


def test_a_model_may_stay_in_memory(
    in_memory: InMemory, make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = in_memory.pipeline(make_pipeline)
    for number in range(3):
        found = loop(pipeline, number)
        assert found.status_code == 200 and found.json["warnings"] == [], found.json
    assert [call for call in in_memory.calls if "train" in call] == [
        "train 3 from None",
        "train 6 from ckpt_0",
        "train 9 from ckpt_1",
    ]
    assert caplog.text.count("no checkpoint ckpt") == 1
    assert "need a single long-lived worker" in caplog.text


def test_a_model_that_was_in_memory_is_trained_again_by_another_process(
    in_memory: InMemory, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(args: Any, ckpt_file: Any) -> Any:
        raise ValueError("the power was cut")

    first = in_memory.pipeline(make_pipeline, test_fn=failing)
    assert loop(first, 0).status_code == 500
    in_memory.calls.clear()
    second = in_memory.pipeline(make_pipeline)
    assert loop(second, 0).status_code == 200  # this process has it
    assert in_memory.calls == ["test", "infer 57"]
    assert loop(in_memory.pipeline(make_pipeline, test_fn=failing), 1).status_code == 500
    as_another_process(monkeypatch)
    in_memory.calls.clear()
    assert loop(second, 1).status_code == 200
    assert in_memory.calls == ["train 6 from ckpt_0", "test", "infer 54"]
    in_memory.calls.clear()
    assert loop(second, 1).status_code == 200 and in_memory.calls == []  # it is not needed now


def test_another_worker_says_that_it_may_lack_the_model(
    in_memory: InMemory,
    make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = in_memory.pipeline(make_pipeline)
    client = pipeline.app.test_client()
    client.post("/train", json={"labeled": [0, 1, 2], "ckpt_file": "c"})
    assert client.post("/test", json={"ckpt_file": "c"}).json["warnings"] == []
    assert loop(pipeline, 0).status_code == 200
    as_another_process(monkeypatch)
    found = client.post("/test", json={"ckpt_file": "c"}).json
    assert "train wrote no checkpoint c to EXPT_DIR and ran in another" in found["warnings"][0]
    in_memory.has_model = False  # as it is there
    found = client.post("/test", json={"ckpt_file": "c"}).json["error"]["message"]
    assert (
        "there is no model (train wrote no checkpoint c" in found
        and "single long-lived worker" in found
    )
    found = loop(pipeline, 1).json["error"]["message"]
    assert "there is no model (train wrote no checkpoint ckpt_0" in found


@pytest.mark.parametrize("phase", ["train", "test", "infer"])
def test_a_loop_waits_for_the_one_before(
    phase: str, make_pipeline: MakePipeline, functions: Any
) -> None:
    def failing(args: Any, ckpt_file: Any, labeled: Any = (), unlabeled: Any = ()) -> Any:
        raise ValueError

    broken, whole = make_pipeline(**{f"{phase}_fn": failing}), make_pipeline()
    assert loop(broken, 0).status_code == 500
    functions.calls.clear()
    found = loop(whole, 1)
    assert found.status_code == 409 and found.json["error"]["type"] == "unfinished"
    message = found.json["error"]["message"]
    assert "loop 0 is not finished: it lacks" in message and phase in message
    assert functions.calls == []
    for number in (0, 1):
        assert loop(whole, number).status_code == 200


def test_a_loop_waits_for_one_that_is_done_again(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    assert loop(pipeline, 0).status_code == 200
    broken = make_pipeline(train_fn=lambda args, labeled, ckpt_file: 1 / 0)
    assert loop(broken, 0, selected_indices=[7, 8, 9]).status_code == 500
    assert loop(pipeline, 1).status_code == 409
    # the old selection needs its training again, too: half of another may have been written
    assert loop(pipeline, 0).status_code == 200
    assert loop(pipeline, 1).status_code == 200


def test_more_records_do_not_undo_finished_loops(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    assert loop(pipeline, 0, training_set_size=30).status_code == 200
    assert loop(pipeline, 1, training_set_size=60).status_code == 200


def test_a_loop_that_was_never_begun_is_not_skipped(
    make_pipeline: MakePipeline, functions: Any, tmp_path: Path
) -> None:
    pipeline = make_pipeline()
    folder = tmp_path / "log" / "storage" / "p" / "e"
    folder.mkdir(parents=True)
    (folder / "selected_indices_0.json").write_text("[0, 1, 2]")
    (tmp_path / "log" / "ckpt_0").write_text("of another run")
    found = loop(pipeline, 1)
    assert found.status_code == 409 and "lacks train and test and infer" in found.text
    assert functions.calls == [] and not (folder / "selected_indices_1.json").exists()


def test_another_machine_knows_from_the_storage_what_is_finished(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    options = {"storage_url": str(tmp_path / "shared"), "keep_checkpoints": True}
    broken = make_pipeline(**options, infer_fn=lambda args, unlabeled, ckpt_file: 1 / 0)
    assert loop(broken, 0).status_code == 500
    other = make_pipeline(**options, args={"EXPT_DIR": str(tmp_path / "other")})
    assert loop(other, 1).status_code == 409
    assert loop(make_pipeline(**options), 0).status_code == 200
    assert loop(other, 1).status_code == 200


def test_a_second_experiment_is_not_gone_on_with_as_the_first(
    make_pipeline: MakePipeline, functions: Any
) -> None:
    pipeline = make_pipeline()
    assert loop(pipeline, 0, "first").status_code == 200
    assert loop(pipeline, 0, "second", selected_indices=[9, 10, 11]).status_code == 200
    functions.calls.clear()
    found = loop(pipeline, 1, "first")
    assert found.status_code == 409 and found.json["error"]["type"] == "checkpoint"
    assert "ckpt_0 in EXPT_DIR was overwritten by p/second" in found.json["error"]["message"]
    assert functions.calls == []
    assert loop(pipeline, 1, "second").status_code == 200
    body = {"labeled": [1], "ckpt_file": "ckpt_1"}
    assert pipeline.app.test_client().post("/train", json=body).status_code == 200
    assert "overwritten by a request to /train" in loop(pipeline, 2, "second").text


def test_experiments_side_by_side_keep_their_checkpoints_in_the_storage(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    pipeline = make_pipeline(keep_checkpoints=True)
    contents = {}
    for number in range(3):
        for name, offset in (("first", 0), ("second", 20)):
            chosen = [offset + 3 * number + step for step in range(3)]
            assert loop(pipeline, number, name, selected_indices=chosen).status_code == 200
            content = (tmp_path / "log" / f"ckpt_{number}").read_bytes()
            contents[name, number] = content
            if number:
                before = tmp_path / "log" / f"ckpt_{number - 1}"
                assert before.read_bytes() == contents[name, number - 1]


def test_what_another_experiment_has_written_over_is_trained_again_for_a_test(
    make_pipeline: MakePipeline, functions: Any
) -> None:
    broken = make_pipeline(test_fn=lambda args, ckpt_file: 1 / 0)
    assert loop(broken, 0, "first").status_code == 500
    pipeline = make_pipeline()
    assert loop(pipeline, 0, "second", selected_indices=[9, 10, 11]).status_code == 200
    functions.calls.clear()
    assert loop(pipeline, 0, "first").status_code == 200
    assert functions.calls == ["train 3 from None", "test", "infer 57"]
