"""The configs of the project run as written, on real images, and reach what they promise."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from allencv_al.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "training_config"

pytestmark = pytest.mark.slow


def train(config: str, run: Path, **variables: str | Path) -> dict[str, float]:
    options = [f"-V{name}={value}" for name, value in variables.items()]
    assert main(["train", str(CONFIGS / config), "-s", str(run), *options]) == 0
    metrics: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return metrics


@pytest.fixture
def cats_dogs(shared_data: Path, tmp_path: Path) -> Path:
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "cats_dogs"


def test_digits_reach_97_percent(tmp_path: Path) -> None:
    data = tmp_path / "digits"
    assert main(["sample-data", "digits", str(data)]) == 0
    paths = {f"{name.upper()}_PATH": data / name for name in ("train", "validation", "test")}
    metrics = train("digits.jsonnet", tmp_path / "run", **paths)
    assert metrics["test_accuracy"] >= 0.97


def test_frozen_squeezenet_tells_cats_from_dogs(
    cats_dogs: Path, shared_data: Path, tmp_path: Path
) -> None:
    metrics = train(
        "cats_dogs_squeezenet.jsonnet",
        tmp_path / "run",
        TRAIN_PATH=cats_dogs / "train",
        TEST_PATH=cats_dogs / "test",
        WEIGHTS_FILE=shared_data / "weights" / "squeezenet1_1-caffe-acdec127.pth",
    )
    assert metrics["test_accuracy"] >= 0.93


def test_published_resnet20_weights_evaluate_from_the_command_line(
    shared_data: Path, tmp_path: Path
) -> None:
    test_batch = shared_data / "cifar10" / "test_batch.bin.xz"
    overrides = {
        "model.weights_file": str(shared_data / "weights" / "resnet20-12fca82f.th"),
        "trainer": {"type": "no_op"},
    }
    arguments = ["train", str(CONFIGS / "cifar10_resnet20.jsonnet"), "-s", str(tmp_path / "run")]
    arguments += ["-o", json.dumps(overrides), f"-VTRAIN_PATH={test_batch}"]
    assert main(arguments) == 0
    report = tmp_path / "evaluation.json"
    archive = str(tmp_path / "run" / "model.tar.gz")
    assert main(["evaluate", archive, str(test_batch), "--output-file", str(report)]) == 0
    assert json.loads(report.read_text())["accuracy"] == 0.9173


def test_broken_and_odd_files_are_reported_and_stop_nothing(
    cats_dogs: Path, shared_data: Path, tmp_path: Path
) -> None:
    with tarfile.open(shared_data / "odd_files.tar") as archive:
        archive.extractall(tmp_path / "odd", filter="data")
    [manifest] = (tmp_path / "odd").rglob("manifest.csv")
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        shutil.copy(manifest.parent / row["file"], cats_dogs / "train" / "cat" / row["file"])
    config = {
        "dataset_reader": {
            "type": "image_classification_directory",
            "max_unreadable": 0.02,  # 4 of about 320, more than the 1 % that is allowed by default
            "augmentation": [{"type": "resize", "height": 16, "width": 16}, {"type": "normalize"}],
        },
        "train_data_path": str(cats_dogs / "train"),
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 3},
        },
        "data_loader": {"batch_size": 32},
        "trainer": {"num_epochs": 2},
    }
    (tmp_path / "odd.jsonnet").write_text(json.dumps(config))
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "odd.jsonnet"), "-s", str(run)]) == 0

    lines = (run / "unreadable_images.jsonl").read_text().splitlines()
    reported = {Path(json.loads(line)["id"]).name for line in lines}
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    looked_at = [
        row["file"]
        for row in rows
        if row["file"].lower().endswith(suffixes) and not row["file"].startswith(".")
    ]
    broken = {row["file"] for row in rows if row["pillow_13.0.0"] == "fails"}
    assert reported == broken & set(looked_at)
    assert len(reported) == 4
