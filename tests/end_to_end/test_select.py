"""What a new user does with a folder of photos: choose, look, fill in the table, train again."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.predictors import Predictor

pytestmark = pytest.mark.slow

FEW = 15  # labeled photos of each class to begin with
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def photos(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`photos/train/{cat,dog}`, `photos/validation/{cat,dog}`, and 270 in `photos/unlabeled`."""
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "photos"
    folder.mkdir()
    (tmp_path / "cats_dogs" / "test").rename(folder / "validation")
    (tmp_path / "cats_dogs" / "train").rename(folder / "train")
    (folder / "unlabeled").mkdir()
    for label in ("cat", "dog"):
        for file in sorted((folder / "train" / label).iterdir())[FEW:]:
            file.rename(folder / "unlabeled" / file.name)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def weights(shared_data: Path) -> Path:
    return shared_data / "weights" / "squeezenet1_1-caffe-acdec127.pth"


def true_label(row: dict[str, Any]) -> str:
    return str(row["id"]).partition(".")[0]  # cat.17.jpg


def fill_in(table: str) -> list[dict[str, str]]:
    """Label every row that has no label yet, and save the table as a spreadsheet does."""
    with Path(table).open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    asked = [row for row in rows if not row["label"]]
    for row in asked:
        row["label"] = true_label(row)
    with Path(table).open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return asked


def train(run: str, weights: Path, path: str, reader: str, epochs: int = 8) -> float:
    config = REPOSITORY / "training_config" / "cats_dogs_squeezenet.jsonnet"
    variables = {"TRAIN_PATH": path, "TEST_PATH": "photos/validation", "WEIGHTS_FILE": weights}
    options = [f"-V{name}={value}" for name, value in variables.items()]
    change = {
        "dataset_reader.type": reader,
        "trainer.num_epochs": epochs,
        "validation_dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [
                {"type": "resize", "height": 224, "width": 224, "interpolation": "area"},
                {"type": "normalize"},
            ],
        },
    }
    assert main(["train", str(config), "-s", run, "-o", json.dumps(change), *options]) == 0
    metrics = json.loads(Path(run, "metrics.json").read_text(encoding="utf-8"))
    return float(metrics["test_accuracy"])


def test_twenty_photos_are_chosen_looked_at_labeled_and_learned_from(
    photos: Path, weights: Path
) -> None:
    before = train("runs/1", weights, "photos/train", "image_classification_directory")
    command = ["select", "runs/1/model.tar.gz", "photos/unlabeled", "--strategy", "margin"]
    command += ["-k", "20", "--labeled", "photos/train"]
    command += ["--output", "to_label.csv", "--contact-sheet", "picks.png"]
    (photos / "unlabeled" / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    assert main(command) == 0
    with Image.open("picks.png") as sheet:
        assert min(sheet.size) > 500

    asked = fill_in("to_label.csv")
    assert len(asked) == 20
    wrong = [row for row in asked if row["predicted"] != row["label"]]
    assert len(wrong) >= 6, "margin asks for what the model is least sure of"
    files = sorted(str(path) for path in (photos / "unlabeled").glob("*[0-9].jpg"))[::5]
    classes = [Predictor.from_path("runs/1/model.tar.gz").predict(file)["class"] for file in files]
    errors = [
        predicted != Path(file).name.partition(".")[0]
        for file, predicted in zip(files, classes, strict=True)
    ]
    assert len(wrong) / len(asked) > 1.5 * sum(errors) / len(errors), "and that is not chance"

    after = train("runs/2", weights, "to_label.csv", "manifest")
    assert after >= max(before - 0.05, 0.8)

    again = ["select", "runs/2/model.tar.gz", "photos/unlabeled", "-k", "20"]
    assert main([*again, "--labeled", "to_label.csv", "--output", "to_label.csv"]) == 0
    asked_before = {row["path"] for row in asked}
    with Path("to_label.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 + 20 + 2 * FEW
    assert not {row["path"] for row in rows if not row["label"]} & asked_before
    assert asked_before <= {row["path"] for row in rows if row["label"]}


def test_the_first_photos_are_chosen_without_a_model(photos: Path, weights: Path) -> None:
    command = ["select", "--embeddings", f"squeezenet1_1:{weights}", "photos/unlabeled"]
    assert main([*command, "-k", "20", "--output", "first.csv"]) == 0
    labels = [row["label"] for row in fill_in("first.csv")]
    assert len(labels) == 20
    assert 5 <= labels.count("cat") <= 15, "typical photos of both kinds"
    # With 20 images an epoch is a single step, so there are more epochs
    assert train("runs/first", weights, "first.csv", "manifest", epochs=24) >= 0.8
