"""Archives, run directories and labelings of every release are read (docs: deprecation policy).

`releases/VERSION.tar.xz` holds what that version made of the images of `write_photos`: `run`, which
waits for the labels of two images, with its archive and its config, and `labeling`.
"""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.tar.xz"))


def write_photos(folder: Path) -> None:
    """Write the images that the runs were made with: two classes of one color each."""
    for label, color in (("cat", (180, 60, 40)), ("dog", (40, 80, 190))):
        for number in range(8):
            split = "train" if number < 2 else "test" if number < 4 else "pool"
            file = folder / split / f"{label}-{number}.png"
            if split != "pool":
                file = folder / split / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), color, np.uint8) + np.uint8(number)).save(file)


@pytest.fixture(params=RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a release made, in the current folder, beside the images."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_archive_predicts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "run/model.tar.gz", "photos/test"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["class"] for line in lines] == ["cat", "cat", "dog", "dog"]


def test_a_run_that_waits_for_labels_goes_on(folder: Path) -> None:
    table = folder / "run" / "to_label.csv"
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = row["id"].partition("-")[0]
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert main(["active-learn", "run.jsonnet", "-s", "run", "--recover"]) == 0
    labels = (folder / "run" / "labels.csv").read_text(encoding="utf-8")
    assert all(name in labels for name in ("dog-4.png", "dog-5.png"))
    assert "6 labels" in (folder / "run" / "report.html").read_text(encoding="utf-8")


def test_a_labeling_is_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export-labels", "labeling", "--format", "jsonl"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_id = {one["id"]: (one.get("kind"), one.get("label")) for one in said}
    assert by_id["cat-4.png"] == ("label", "cat")
    assert by_id["cat-5.png"] == ("unsure", None)
