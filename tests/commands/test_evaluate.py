"""`allencv-al evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.commands.evaluate import metrics_table
from allencv_al.predictors import Predictor


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", "--json", *arguments]) == 0
    metrics: dict[str, Any] = json.loads(capsys.readouterr().out)
    return metrics


def test_the_accuracy_is_that_of_the_predictions(
    tiny_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = run(capsys, str(tiny_run), str(pictures))
    predictor = Predictor.from_path(tiny_run)
    dataset = predictor.dataset_reader.read(pictures)
    right = [predictor.predict(instance)["class"] == instance.label for instance in dataset]
    assert metrics["accuracy"] == pytest.approx(np.mean(right))
    assert metrics["loss"] > 0


def test_people_get_a_table(
    tiny_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = run(capsys, str(tiny_run), str(pictures))
    assert main(["evaluate", str(tiny_run), str(pictures)]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    shown = dict(line.split() for line in first.splitlines())
    assert shown.pop("images") == "7"
    assert shown == {
        name: f"{value:.4f}" for name, value in metrics.items() if isinstance(value, float)
    }
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    rows = [line.split() for line in second.splitlines()]
    assert [row[:2] for row in rows] == [
        ["class", "images"],
        ["Cat", "3"],
        ["Dog", "2"],
        ["Emu", "2"],
    ]


def test_labels_of_the_page_measure_a_model_of_class_folders(
    tiny_run: Path,
    pictures: Path,
    served: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = pictures.parent / "labels.csv"
    rows = [f"{file},{file.parent.name}" for file in sorted(pictures.rglob("*.png"))]
    table.write_text("\n".join(["path,label", *rows, ""]))
    by_folders = run(capsys, str(tiny_run), str(pictures))
    assert run(capsys, str(tiny_run), str(table)) == by_folders
    # One image is labeled on the page, as Cat
    assert main(["label", str(pictures), "--classes", "Cat"]) == 130
    capsys.readouterr()
    metrics = run(capsys, str(tiny_run), str(pictures.with_name("pictures-labels")))
    assert np.sum(metrics["confusion_matrix"], axis=1).tolist() == [1, 0, 0]


def test_the_table_says_what_each_class_is_taken_for() -> None:
    metrics = {
        "accuracy": 0.5,
        "confusion_matrix": [[2, 0, 1], [0, 0, 0], [0, 2, 0]],
        "roc_auc": None,
        "per_class_accuracy": {"cat": 2 / 3, "dog\n": None, "owl": 0.0},
        "per_class_f1": {"cat": 0.8, "dog\n": 0.0, "owl": None},
        "by_size": {"small": [1, 0.25]},
    }
    assert metrics_table(metrics, ["cat", "dog\n", "owl"]).splitlines() == [
        "accuracy         0.5000",
        "roc_auc               -",
        "by_size.small.0       1",
        "by_size.small.1  0.2500",
        "",
        "class  images  recall      F1  most often taken for",
        "cat         3  66.7 %  80.0 %  owl (1)",
        r"dog\n       0       -   0.0 %  -",
        r"owl         2   0.0 %       -  dog\n (2)",
    ]
    assert metrics_table({"accuracy": 1.0}, ["cat"]) == "accuracy  1.0000\n"


@pytest.mark.parametrize("batch_size", ["1", "4", "100"])
def test_the_batch_size_changes_no_metric(
    tiny_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], batch_size: str
) -> None:
    expected = run(capsys, str(tiny_run), str(pictures))
    metrics = run(capsys, str(tiny_run), str(pictures), "--batch-size", batch_size)
    assert metrics["confusion_matrix"] == expected["confusion_matrix"]
    assert metrics["macro_f1"] == pytest.approx(expected["macro_f1"])


def test_files_for_metrics_and_predictions(
    tiny_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = run(capsys, str(tiny_run), str(pictures))
    metrics, predictions = tmp_path / "metrics.json", tmp_path / "predictions.jsonl"
    command = [
        "evaluate",
        str(tiny_run),
        str(pictures),
        "--output-file",
        str(metrics),
        "--predictions-output-file",
        str(predictions),
    ]
    assert main(command) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(metrics.read_text()) == expected
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert list(rows[0]) == ["id", "label", "logits", "probs", "prediction", "class"]
    assert rows[0]["label"] == "Cat"
    right = [row["label"] == row["class"] for row in rows]
    assert expected["accuracy"] == pytest.approx(np.mean(right))


def test_unreadable_images_are_left_out_and_counted(
    tiny_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "Cat" / "broken.png").write_bytes(b"broken")
    overrides = '{"validation_dataset_reader.max_unreadable": 0.5}'
    assert main(["evaluate", str(tiny_run), str(pictures), "-o", overrides]) == 0
    assert "evaluated 7 images; 1 unreadable" in capsys.readouterr().err


def test_unlabeled_images_cannot_be_evaluated(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "unlabeled"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    assert main(["evaluate", str(tiny_run), str(folder)]) == 2
    assert "labeled" in capsys.readouterr().err


def test_a_class_that_the_model_does_not_know_is_named(
    tiny_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "Emu").rename(pictures / "Fox")
    result = pictures.parent / "result.json"
    assert main(["evaluate", str(tiny_run), str(pictures), "--output-file", str(result)]) == 0
    assert "2 of 7 images are of classes that the model does not know: Fox (2): left out" in (
        capsys.readouterr().err
    )
    measured = json.loads(result.read_text())["confusion_matrix"]
    assert sum(map(sum, measured)) == 5
    for known in ("Cat", "Dog"):
        (pictures / known).rename(pictures / f"{known}like")
    assert main(["evaluate", str(tiny_run), str(pictures)]) == 2
    shown = capsys.readouterr().err
    assert "7 of 7 images are of classes that the model does not know" in shown
    assert "Traceback" not in shown


def test_the_report_has_the_mistakes_that_the_matrix_counts(
    tiny_run: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    read_page: Any,
) -> None:
    report = tmp_path / "mistakes.html"
    metrics = run(capsys, str(tiny_run), str(pictures), "--report", str(report))
    matrix = metrics["confusion_matrix"]
    page = read_page(report)
    shown = [row[1:-1] for row in page.table("What is taken for what")[1:]]
    assert shown == [[str(count) if count else "·" for count in row] for row in matrix]
    wrong = sum(map(sum, matrix)) - sum(matrix[place][place] for place in range(len(matrix)))
    assert wrong > 0
    # With the places that speak for the class, and once more by its pair of classes
    assert len(page.of("img")) == 3 * wrong
