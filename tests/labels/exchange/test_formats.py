"""The format of a file is detected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.imported_labels import CASES, labels

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange import CARRIED, FORMATS, OF_ANNOTATORS, UPRIGHT
from allencv_al.labels.exchange.formats import FOLDERS, TEXT_FORMATS, format_of, read_file
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.object_folders import FOLDER_FORMATS


def test_the_names_that_help_shows_are_the_formats() -> None:
    assert {*TEXT_FORMATS, FOLDERS, *FOLDER_FORMATS} == set(FORMATS)
    assert {*CARRIED, *OF_ANNOTATORS, *UPRIGHT} <= set(FORMATS)


@pytest.mark.parametrize("name", sorted(set(TEXT_FORMATS) & set(OF_ANNOTATORS)))
def test_ends_of_lines_in_names_survive_a_file(name: str, tmp_path: Path) -> None:
    path, many = tmp_path / "x", [LabelEntry("a\rb\r\n", None, "c\n\rd", "label")]
    path.write_bytes(TEXT_FORMATS[name].write(many).encode())
    assert read_file(path, name) == many


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "\ufeffid;label\na,b;cat\n"),
        ("x.tsv", "id\tlabel\na,b\tcat\n"),
        ("x.CSV", 'id,label\n"a,b",cat\n'),
        ("x.ndjson", '{"id": "a,b", "label": "cat"}\n'),
        ("x.json", '[{"data": {"allencv_al_id": "a,b"}, "annotations": [{"result": [%s]}]}]'),
        ("x.json", '[{"image": "a,b", "id": 1, "choice": "cat", "annotator": 1}]'),
    ],
)
def test_the_format_of_a_file_is_seen(name: str, text: str, tmp_path: Path) -> None:
    path, choice = tmp_path / name, '{"type": "choices", "value": {"choices": ["cat"]}}'
    path.write_text(text.replace("%s", choice), encoding="utf-8")
    [found] = read_file(path, format_of(path))
    assert (found.id, found.label) == ("a,b", "cat")


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff")
    for path, name in ((tmp_path, "csv"), (tmp_path / "x.csv", "folders"), (tmp_path / "x", "csv")):
        with pytest.raises(DataError, match=r"cannot be read|found a file"):
            read_file(path, name)
    with pytest.raises(DataError, match="expected UTF-8, found the byte 0xff in line 1"):
        read_file(tmp_path / "x.csv", "csv")


@pytest.mark.parametrize(
    ("content", "program"),
    [
        ({"categories": {}, "items": []}, "a data set of Datumaro"),
        ({"assets": {}, "tags": []}, "a project of VoTT"),
        ([{"image": "001.png", "annotations": []}], "an annotation file of Create ML"),
    ],
)
def test_files_of_programs_that_are_not_read_are_named(
    content: object, program: str, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    code, _, err = run(tmp_path / "x.json")
    assert code == 2
    assert f"looks like {program}, and cannot be read; supported: what export-labels" in err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("groundtruth.manifest", {"001.png": "red"}),
        ("fiftyone_labels.json", {"001.png": "red", "002.png": "blue"}),
    ],
)
def test_examples_of_other_programs_are_read(
    name: str,
    expected: dict[str, str],
    run: Callable[..., tuple[int, str, str]],
    labeling: Path,
) -> None:
    assert run(CASES / name)[0] == 0
    assert labels(labeling) == expected


@pytest.mark.parametrize("name", ["one.json", "lines.jsonl"])
def test_tasks_of_label_studio_that_are_no_list_are_named(
    name: str, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    task = {"id": 1, "data": {"image": "001.png"}, "annotations": []}
    (tmp_path / name).write_text(json.dumps(task) + "\n")
    code, _, err = run(tmp_path / name)
    assert code == 2
    assert "expected a JSON list, as Label Studio exports it, found one task" in err
