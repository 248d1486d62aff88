"""Records of a run: its machine and its data."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import CheckpointError, DataError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.training.run_records import (
    ENVIRONMENT_NAME,
    check_same_data,
    describe_environment,
    read_environment,
    write_data_record,
    write_environment,
)


def test_environment_variables_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "a-secret-of-this-test")
    found = describe_environment()
    assert found["versions"]["torch"] and found["command"] == sys.argv
    assert "a-secret-of-this-test" not in json.dumps(found)


def test_a_resumed_run_keeps_its_start_and_warns_of_decisive_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_environment(tmp_path, device="cpu")
    first = read_environment(tmp_path)
    assert first is not None and "continued" not in first and not caplog.records
    changed = {**first, "started": "2020-01-01T00:00:00+00:00", "platform": "another"}
    (tmp_path / ENVIRONMENT_NAME).write_text(json.dumps(changed))
    write_environment(tmp_path, device="cuda")
    second = read_environment(tmp_path)
    assert second is not None and second["started"] == changed["started"]
    assert second["continued"] >= first["started"] and second["device"] == "cuda"
    assert [record.getMessage() for record in caplog.records] == [
        "this run began with device cpu and resumes with cuda: it will not be bit-equal to an "
        "uninterrupted run"
    ]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_an_absent_or_damaged_file_is_no_environment(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / ENVIRONMENT_NAME).write_text(content)
    assert read_environment(tmp_path) is None


class Run:
    """A run with a checkpoint, of three files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {name: folder / f"{name}.png" for name in ("a", "b", "c")}
        self.labels = {"a": "cat", "b": "cat", "c": "dog"}
        for name, path in self.files.items():
            path.write_bytes(name.encode() * 20_000)
        (folder / "checkpoints" / "e1_b0").mkdir(parents=True)
        write_data_record(folder, self.datasets())
        self.vocabulary().save_to_files(folder / "vocabulary")

    def datasets(self, **more: Any) -> dict[str, Any]:
        items = [Instance(id, file, self.labels[id]) for id, file in self.files.items()]
        return {"train": Dataset(None, items), "validation": more.get("validation")}

    def vocabulary(self) -> Vocabulary:
        return Vocabulary({"labels": dict.fromkeys(self.labels.values(), 1)})

    def check(self, **more: Any) -> None:
        check_same_data(
            self.folder, self.datasets(**more), self.vocabulary(), self.folder / "vocabulary"
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_same_data_elsewhere_and_of_another_time_are_the_same(run: Run) -> None:
    run.files = {name: file.rename(f"{file}.moved") for name, file in run.files.items()}
    for file in run.files.values():
        os.utime(file, (1, 1))
    run.check()


@pytest.mark.parametrize("place", [0, 7_000, -1], ids=["start", "near the start", "end"])
def test_a_replaced_image_of_the_same_size_is_noticed(run: Run, place: int) -> None:
    content = bytearray(run.files["b"].read_bytes())
    content[place] ^= 1
    run.files["b"].write_bytes(content)
    with pytest.raises(DataError, match="train: 1 image replaced by others: b") as error:
        run.check()
    assert "over: --force" in str(error.value)


def test_every_kind_of_change_is_listed_at_once(run: Run) -> None:
    run.labels = {"a": "owl", "c": "dog", "d": "owl", "e": "dog"}
    run.files = {**{name: run.files[name] for name in "ac"}, "d": run.files["b"]}
    run.files["e"] = run.folder / "absent.png"
    run.files["c"].write_bytes(b"smaller")
    others = Dataset(None, [Instance("v", b"12", "cat")])
    with pytest.raises(DataError) as error:
        run.check(validation=others)
    assert str(error.value).splitlines()[1:-1] == [
        "  train: 1 image gone: b",
        "  train: 2 images new: d, e",
        "  train: 1 image replaced by others: c",
        "  train: 1 image with another label: a",
        "  validation: 1 image new: v",
        "  classes gone: cat",
        "  classes new: owl",
    ]


def test_a_class_that_only_the_test_images_show_is_noticed(run: Run) -> None:
    run.labels["elsewhere"] = "owl"
    with pytest.raises(DataError, match="classes new: owl"):
        run.check()


def test_pixels_in_memory_are_compared_whole(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    record = {"train": Dataset(None, [Instance("a", pixels, "cat"), Instance("b", b"1", "cat")])}
    write_data_record(tmp_path, record)
    (tmp_path / "checkpoints" / "e0_b2").mkdir()
    vocabulary = Vocabulary({"labels": {"cat": 1}})
    vocabulary.save_to_files(tmp_path / "vocabulary")
    check_same_data(tmp_path, record, vocabulary, tmp_path / "vocabulary")
    pixels[1, 1, 2] = 1
    with pytest.raises(DataError, match="1 image replaced by others: a"):
        check_same_data(tmp_path, record, vocabulary, tmp_path / "vocabulary")


def test_before_the_first_checkpoint_any_data_will_do(run: Run) -> None:
    (run.folder / "checkpoints" / "e1_b0").rmdir()
    run.labels["a"] = "owl"
    run.check()


def test_a_run_without_a_record_is_held_to_its_classes(run: Run) -> None:
    (run.folder / "checkpoints" / "data.json").unlink()
    run.files["a"].write_bytes(b"another")
    run.check()
    run.labels["a"] = "owl"
    with pytest.raises(DataError, match="classes new: owl"):
        run.check()


def test_a_damaged_record_is_named_and_can_be_removed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    record = tmp_path / "checkpoints" / "data.json"
    for text in (record.read_text()[:20], "[1]"):
        record.write_text(text)
        with pytest.raises(CheckpointError, match=r"data\.json: damaged"):
            run.check()
    record.unlink()
    run.check()


def test_classes_in_another_order_are_noticed(run: Run) -> None:
    folder = run.folder / "turned"
    run.vocabulary().save_to_files(folder)
    lines = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("\n".join(lines[::-1]) + "\n")
    turned = Vocabulary.from_files(folder)
    with pytest.raises(DataError, match="classes with another number: cat, dog"):
        check_same_data(run.folder, run.datasets(), turned, run.folder / "vocabulary")


@pytest.mark.parametrize("other", [((0.0, 0.0, 2.0, 3.0),), ()])
def test_other_boxes_are_noticed(run: Run, other: tuple[Any, ...]) -> None:
    def data(boxes: tuple[Any, ...]) -> dict[str, Any]:
        image = Instance("a", run.files["a"], boxes=boxes, box_labels=("cat",) * len(boxes))
        return {"train": Dataset(None, [image])}

    write_data_record(run.folder, data(((0.0, 0.0, 2.0, 2.0),)))
    with pytest.raises(DataError, match="train: 1 image replaced by others: a"):
        check_same_data(run.folder, data(other), run.vocabulary(), run.folder / "vocabulary")
