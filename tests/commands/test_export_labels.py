"""`allencv-al export-labels`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.exchange_labels import finals

from allencv_al.__main__ import main
from allencv_al.labels.label_store import LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase


def test_without_output_it_is_printed(labeled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export-labels", str(labeled), "--format", "jsonl", "--all-answers"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["id"], row["source"], row["annotator"]) for row in rows] == [
        ("0.png", "page", "anna"),
        ("1.png", "page", "ben"),
        ("2.png", "page", "anna"),
    ]
    assert Path(rows[0]["image"]).is_file()


def test_the_labels_of_a_run_are_exported(tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "labels.csv"
    with RunDatabase(run / DATABASE_NAME) as database:
        LabelStore(database).add([NewLabel("a/1.png", "cat", "anna", 2, "file")])
    (run / "labels.csv").write_text("path,label\n../photos/a/1.png,cat\n")
    assert main(["export-labels", str(run), "--format", "csv", "--output", str(output)]) == 0
    with output.open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert (row["id"], row["label"], row["round"]) == ("a/1.png", "cat", "2")
    assert row["image"] == str(tmp_path / "photos" / "a" / "1.png")


@pytest.mark.parametrize("name", ["label-studio", "label-studio-min"])
def test_label_studio_is_told_where_it_serves_the_images(
    name: str,
    make_labeling: Callable[..., Path],
    labeled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = tmp_path / "photos"
    output = tmp_path / "labels.json"
    command = ["export-labels", str(labeled), "--format", name, "--output", str(output)]
    assert main([*command, "--local-files", str(tmp_path)]) == 0
    rows = json.loads(output.read_text())
    addresses = [row.get("data", row)["image"] for row in rows]
    assert addresses == [f"/data/local-files/?d=photos/{number}.png" for number in range(3)]
    other = make_labeling("other")
    assert main(["import-labels", str(output), str(other)]) == 0
    assert finals(other) == finals(labeled)
    assert main([*command, "--local-files", str(photos / "other")]) == 2
    assert "3 images do not lie below" in capsys.readouterr().err


def test_the_folder_of_the_images_leads_to_that_of_the_labels(
    make_labeling: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = make_labeling("photos-labels")
    assert main(["export-labels", str(tmp_path / "photos"), "--format", "csv"]) == 2
    assert f"did you mean {labels}?" in capsys.readouterr().err


def test_no_image_of_the_labeling_is_replaced(
    labeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "photos" / "0.png"
    assert main(["export-labels", str(labeled), "--format", "csv", "--output", str(image)]) == 2
    assert "is one of the input images" in capsys.readouterr().err
    assert image.read_bytes() == b"picture 0"
