"""`--dry-run` finds what training would find before the first image."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.errors import DataError
from allencv_al.data import image_io
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import Instance
from allencv_al.modules import torchvision_networks, weights
from allencv_al.training.callbacks import tensorboard
from allencv_al.training.datasets import check_files


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for folder in ("train", "validation"):
        for label in ("cat", "dog"):
            (tmp_path / folder / label).mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", (8, 8)).save(tmp_path / folder / label / f"{index}.png")

    def no_image_may_be_read(*args: object, **kwargs: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(image_io, "load_image", no_image_may_be_read)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return {
        "dataset_reader": {"type": "image_classification_directory"},
        "train_data_path": str(tmp_path / "train"),
        "validation_data_path": str(tmp_path / "validation"),
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "feedforward",
                "input_channels": 3,
                "num_layers": 1,
                "hidden_channels": 4,
                "activations": "relu",
            },
            "im2vec_encoder": {"type": "pool", "input_channels": 4},
        },
        "trainer": {"num_epochs": 2, "cuda_device": -1, "callbacks": ["tensorboard"]},
    }


Said = pytest.CaptureFixture[str]


def dry_run(config: dict[str, Any], folder: Path, command: str = "train") -> int:
    path = folder / "config.jsonnet"
    path.write_text(json.dumps(config))
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    code = main([command, str(path), "--dry-run"])
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before, "it wrote something"
    return code


@pytest.mark.parametrize("command", ["train", "active-learn", "compare"])
def test_a_config_that_works_has_no_faults(
    config: dict[str, Any], tmp_path: Path, capsys: Said, command: str
) -> None:
    states = random.getstate(), torch.get_rng_state()
    assert dry_run(config, tmp_path, command) == 0
    assert "no faults found" in capsys.readouterr().out
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def manifest(folder: Path, absent: int) -> dict[str, Any]:
    rows = [{"path": str(path), "label": path.parent.name} for path in folder.rglob("train/*/*")]
    rows += [{"path": str(folder / f"absent{i}.png"), "label": "cat"} for i in range(absent)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"train_data_path": str(folder / "rows.jsonl"), "dataset_reader": {"type": "manifest"}}


RESNET = {"type": "pretrained_resnet", "resnet_model": "resnet18", "pretrained": False}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("no class of that name", {"model.class_weights": {"cow": 2}}, '"cow" is no class'),
    ("a list of another length", {"model.class_weights": [1, 2, 3]}, "expected 2 weights"),
    ("more classes", {"model.num_labels": 1}, "expected at least 2, the classes"),
    ("an absent GPU", {"trainer.cuda_device": 99}, "cuda_device"),
    ("an empty folder", {"validation_data_path": "EMPTY"}, "found no images"),
    ("an absent test set", {"test_data_path": "/absent"}, "/absent"),
    ("nothing left", {"data_loader": {"batch_size": 50, "drop_last": True}}, "drop_last"),
    (
        "a metric of more classes",
        {"trainer.validation_metric": "+top_5_accuracy"},
        "produce 'top_5",
    ),
    (
        "a schedule that looks at validation",
        {"validation_data_path": None, "trainer.learning_rate_scheduler": "reduce_on_plateau"},
        "needs validation data",
    ),
    (
        "an absent file",
        {
            "model.im2im_encoder": {**RESNET, "weights_file": "/absent.pth"},
            "model.im2vec_encoder.input_channels": 512,
        },
        "no such file",
    ),
]


@pytest.mark.parametrize(("changes", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_training_would_find_is_found(
    config: dict[str, Any],
    tmp_path: Path,
    capsys: Said,
    changes: dict[str, Any],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    for dotted, value in changes.items():
        *above, name = dotted.split(".")
        place = config
        for part in above:
            place = place[part]
        place[name] = str(tmp_path / "empty") if value == "EMPTY" else value
    assert dry_run(config, tmp_path) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err and "no faults" not in said.out


@pytest.mark.parametrize("command", ["train", "active-learn"])
def test_files_that_are_not_there(
    config: dict[str, Any], tmp_path: Path, capsys: Said, command: str
) -> None:
    config["validation_dataset_reader"] = config["dataset_reader"]
    assert dry_run(config | manifest(tmp_path, 3), tmp_path, command) == 2
    assert "absent0.png" in capsys.readouterr().err


def test_absent_images_within_the_limit_are_warned_of(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [Instance(id="gone.png", image=tmp_path / "gone.png", label="cat")] * 2
    with caplog.at_level(logging.WARNING):
        check_files({"x": Dataset(ImageClassificationDirectory(max_unreadable=1.0), items)})
    assert "x: 2 of 2 images do not exist: gone.png" in caplog.text
    with pytest.raises(DataError, match=r"test_data_path: 2 of 2 images do not exist"):
        check_files({"test_data_path": Dataset(ImageClassificationDirectory(), items)})


def test_weights_that_can_neither_be_read_nor_downloaded(
    config: dict[str, Any], tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    config["model"]["im2im_encoder"] = {**RESNET, "pretrained": True}
    config["model"]["im2vec_encoder"]["input_channels"] = 512
    for cause, code in (("no route", 2), (None, 0)):

        def answer(url: str, cause: str | None = cause) -> str | None:
            asked.append(url)
            return cause

        monkeypatch.setattr(torchvision_networks, "unreachable", answer)
        assert dry_run(config, tmp_path) == code
    assert "(no route). Put the file resnet18" in capsys.readouterr().err
    assert [url.rpartition("/")[2][:8] for url in asked] == ["resnet18"] * 2


def test_nothing_answers_at_an_address_that_is_none() -> None:
    assert weights.unreachable("http://127.0.0.1:1/x")
    assert weights.unreachable("no address")


def test_a_callback_without_its_package(
    config: dict[str, Any], tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "_is_installed", lambda: False)
    assert dry_run(config, tmp_path) == 2
    assert 'pip install "allencv-al[tensorboard]"' in capsys.readouterr().err


def test_logistic_regression_of_an_encoder_that_trains(
    config: dict[str, Any], tmp_path: Path, capsys: Said
) -> None:
    config["trainer"] = {"type": "logistic_regression"}
    for command in ("train", "active-learn"):
        assert dry_run(config, tmp_path, command) == 2
        assert (
            "it fits the last linear layer alone, so it expects an encoder"
            in capsys.readouterr().err
        )
