"""A classifier of several classes per image goes through all commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.data.sample_data.shapes import write_shapes

READER = {"type": "manifest", "augmentation": ["normalize"]}
MODEL = {
    "type": "basic_image_classifier",
    "task": "multi_label",
    "im2im_encoder": {"type": "conv_levels", "base_channels": 4},
    "im2vec_encoder": "pool",
}
CONFIG: dict[str, Any] = {
    "dataset_reader": READER,
    "train_data_path": "shapes/train/labels.jsonl",
    "validation_data_path": "shapes/validation/labels.jsonl",
    "model": {**MODEL, "thresholds": "f1", "class_weights": "balanced"},
    "data_loader": {"batch_size": 16},
    "trainer": {
        "num_epochs": 2,
        "cuda_device": -1,
        "validation_metric": "+macro_f1",
        "optimizer": {"type": "adamw", "lr": 0.01},
    },
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_config(**keys: Any) -> str:
    Path("config.json").write_text(json.dumps({**CONFIG, **keys}), encoding="utf-8")
    return "config.json"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_a_model_goes_through_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    write_shapes("shapes", counts={"train": 24, "validation": 12})
    run(capsys, "train", write_config(), "-s", "run")
    trained = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    archive, table = "run/model.tar.gz", "shapes/validation/labels.jsonl"
    found = json.loads(run(capsys, "evaluate", archive, table, "--json"))
    # By the thresholds that were fitted to these images, and are in the archive
    assert found["macro_f1"] == pytest.approx(trained["validation_macro_f1"], abs=0.02)
    assert list(found["per_class_f1"]) == ["circle", "square", "triangle"]
    out = run(capsys, "predict", archive, "shapes/validation/images")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [sorted(row) for row in rows] == [["classes", "image_path", "probabilities"]] * 12
    assert set(rows[0]["probabilities"]) == {"circle", "square", "triangle"}
    run(capsys, "evaluate", archive, table, "--predictions-output-file", "p.jsonl")
    lines = [json.loads(line) for line in Path("p.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(isinstance(line["label"], list) for line in lines)
    chosen = ("--query-size", "3", "--strategy", "entropy")
    out = run(capsys, "select", archive, "shapes/train/images", *chosen)
    assert len(out.splitlines()) == 3


def test_a_loop_with_a_frozen_encoder_shows_macro_f1(capsys: pytest.CaptureFixture[str]) -> None:
    write_shapes("shapes", counts={"train": 24, "validation": 12})
    encoder = {"type": "cifar_resnet", "depth": 8, "requires_grad": False}
    config = write_config(
        model={**MODEL, "im2im_encoder": encoder},
        trainer={"type": "logistic_regression", "inverse_regularization": "auto"},
        active_learning={"strategy": "margin", "query_size": 6, "budget": 18, "audit": {"size": 4}},
    )
    run(capsys, "active-learn", config, "-s", "run")
    table = Path("run/labels.csv").read_text(encoding="utf-8")
    assert '"[""circle""' in table
    run(capsys, "train", write_config(train_data_path="run/labels.csv"), "-s", "again")
