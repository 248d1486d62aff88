"""`allencv-al import-labels`, from files that others wrote and from files of `export-labels`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.exchange_labels import finals

from allencv_al.__main__ import main
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

FORMATS = ("csv", "jsonl", "label-studio", "label-studio-min")


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
