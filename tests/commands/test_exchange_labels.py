"""`allencv-al export-labels` and `import-labels`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

FORMATS = ("csv", "jsonl", "label-studio", "label-studio-min")


@pytest.fixture
def make_labeling(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a labeling of four images."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        (tmp_path / "photos").mkdir(exist_ok=True)
        with LabelingStore(folder / LABELING_NAME) as store:
            store.classes.add(["cat", "<dog>"], "owner")
            items = []
            for number in range(4):
                path = tmp_path / "photos" / f"{number}.png"
                path.write_bytes(b"picture %d" % number)
                items.append(NewItem(path.name, path))
            store.items.open_batch(items)
        return folder

    return make


@pytest.fixture
def labeled(make_labeling: Callable[..., Path]) -> Path:
    """A labeling with answers of two people."""
    folder = make_labeling("labeled")
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        store.answers.add(NewAnswer("anna", "key-1", 1, LabelKind.LABEL, 1, 1.5))
        store.answers.add(NewAnswer("ben", "key-2", 2, LabelKind.LABEL, 2))
        store.answers.add(NewAnswer("anna", "key-3", 3, LabelKind.UNSURE))
    return folder


def finals(folder: Path) -> list[tuple[str, str, str | None, str]]:
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        return [
            (one.id, one.kind.value, one.label, one.annotator)
            for one in store.agreed_labels(1)
            if one.event_id is not None
        ]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_exported_can_be_imported_elsewhere_once(
    name: str,
    labeled: Path,
    make_labeling: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / f"labels.{'json' if 'studio' in name else name}"
    assert main(["export-labels", str(labeled), "--format", name, "--output", str(output)]) == 0
    other = make_labeling("other")
    for added in (3, 0):
        assert main(["import-labels", str(output), str(other)]) == 0
        assert f"{added} of 3 labels are new" in capsys.readouterr().out
    assert finals(other) == finals(labeled)


def test_class_folders_go_there_and_back(
    labeled: Path, make_labeling: Callable[..., Path], tmp_path: Path
) -> None:
    output, other = tmp_path / "folders", make_labeling("other")
    command = ["export-labels", str(labeled), "--format", "folders", "--output", str(output)]
    assert main(command) == 0
    assert (output / "cat" / "0.png").read_bytes() == b"picture 0"
    assert (output / "%3Cdog%3E" / "1.png").is_file()
    assert main(["import-labels", str(output), str(other)]) == 0
    assert finals(other) == finals(labeled)


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


def test_label_studio_names_are_found_again(
    make_labeling: Callable[..., Path], tmp_path: Path
) -> None:
    folder, file = make_labeling("one"), tmp_path / "project.json"
    task: dict[str, Any] = {
        "id": 1,
        "data": {"image": "/data/upload/3/1234abcd-2.png"},
        "annotations": [
            {
                "id": 5,
                "completed_by": 4,
                "result": [
                    {
                        "from_name": "c",
                        "to_name": "i",
                        "type": "choices",
                        "value": {"choices": ["cat"]},
                    }
                ],
            }
        ],
    }
    local = {**task, "id": 2, "data": {"image": "/data/local-files/?d=photos%2F3%2Epng"}}
    file.write_text(json.dumps([task, local]))
    assert main(["import-labels", str(file), str(folder), "--annotator", "cleo"]) == 0
    assert finals(folder) == [
        ("2.png", "label", "cat", "cleo"),
        ("3.png", "label", "cat", "cleo"),
    ]


def test_faults_are_named_together_and_nothing_is_stored(
    make_labeling: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = make_labeling("one"), tmp_path / "labels.csv"
    file.write_text("id,label\n0.png,cat\n1.png,catt\n9.png,cat\n")
    assert main(["import-labels", str(file), str(folder)]) == 2
    said = capsys.readouterr().err
    assert 'line 3: "1.png": "catt" is no class; did you mean "cat"?' in said
    assert 'line 4: "9.png": there is no such image' in said and "Traceback" not in said
    assert finals(folder) == []


def test_records_that_do_not_fit_are_named_together(
    labeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, before = tmp_path / "labels.jsonl", finals(labeled)
    rows = [
        {"id": "3.png", "label": "cat", "annotator": "cleo"},
        {"id": "3.png", "label": "cat", "annotator": "two\nlines"},
        {"id": "\x1b[31m", "label": "cat"},
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main(["import-labels", str(file), str(labeled)]) == 2
    said = capsys.readouterr().err
    for fault in (
        "line 2: \"3.png\": annotator: expected a name on one line, found 'two\\nlines'",
        'line 3: "\\u001b[31m": there is no such image',
    ):
        assert fault in said
    assert finals(labeled) == before


@pytest.mark.parametrize("more", [[], ["--all-answers"]])
def test_what_is_there_already_is_not_added_again(
    more: list[str], labeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LabelingStore(labeled / LABELING_NAME, create=False) as store:
        store.reviews.decide("boss", "review-1", [1], LabelKind.LABEL, 2)
    output = str(tmp_path / "labels.csv")
    assert main(["export-labels", str(labeled), "--format", "csv", "--output", output, *more]) == 0
    assert main(["import-labels", output, str(labeled)]) == 0
    assert "0 of" in capsys.readouterr().out


def test_entries_without_a_label_are_counted(
    labeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_text("id,label\n0.png,\n1.png, \n3.png,cat\n")
    assert main(["import-labels", str(tmp_path / "x.csv"), str(labeled)]) == 0
    said = capsys.readouterr().out
    assert "1 of 3 labels are new" in said and "that hold no label: 2" in said


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (["export-labels", "{empty}", "--format", "csv"], "expected the folder of a run"),
        (["export-labels", "{new}", "--format", "csv"], "there are no labels yet"),
        (["export-labels", "{labeled}", "--format", "folders"], "needs --output"),
        (
            ["export-labels", "{labeled}", "--format", "csv", "--local-files", "{empty}"],
            "goes with the formats of Label Studio",
        ),
        (["import-labels", "{empty}/x.csv", "{new}"], "there is no such file"),
        (["import-labels", "{text}", "{new}"], "unknown format; name it by --format"),
        (["import-labels", "{csv}", "{empty}"], "expected the folder of a labeling"),
    ],
)
def test_mistakes_are_one_message(
    command: list[str],
    fault: str,
    labeled: Path,
    make_labeling: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "x.csv").write_text("id,label\n")
    places = {
        "empty": tmp_path / "empty",
        "new": make_labeling("new"),
        "labeled": labeled,
        "text": tmp_path / "x.txt",
        "csv": tmp_path / "x.csv",
    }
    assert main([word.format(**places) for word in command]) == 2
    said = capsys.readouterr().err
    assert fault in said and "Traceback" not in said


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
