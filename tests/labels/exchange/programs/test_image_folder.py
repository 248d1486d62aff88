"""Metadata of folders of images at Hugging Face, as its documentation shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.common.files.tables import parquet_bytes
from allencv_al.labels.exchange.entry_objects import tag_of
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.programs.image_folder import (
    has_metadata,
    image_folder_files,
    read_image_folder,
)

BOXES = {"bbox": [[302.0, 109.0, 73.0, 52.0]], "categories": ["dog"]}


def boxes(entry: LabelEntry) -> list[object]:
    return [(one.name, one.box) for one in entry.objects(None, []).objects]


def test_json_lines_of_each_task_are_read(tmp_path: Path) -> None:
    rows = [
        {"file_name": "1.png", "label": "cat", "caption": "a cat"},
        {"file_name": "2.png", "labels": ["cat", "dog"]},
        {"file_name": "3.png", "objects": BOXES},
        {"file_name": "4.png", "label": None},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    one, two, three, four = read_image_folder(tmp_path)
    assert (tag_of(one), one.extra) == ("cat", {"huggingface": {"caption": "a cat"}})
    assert list(two.objects(None, []).tags) == ["cat", "dog"]
    assert boxes(three) == [("dog", (302.0, 109.0, 375.0, 161.0))]
    assert four.objects is None
    [(name, content)] = image_folder_files([one])
    assert (name, json.loads(content)) == ("metadata.jsonl", rows[0])


def test_tables_and_splits_are_read(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    quoted = json.dumps(BOXES).replace('"', '""')
    text = f'file_name;label;objects\r\n1.png;cat;\r\n2.png;;"{quoted}"\r\n'
    (tmp_path / "train" / "metadata.csv").write_text(text, encoding="utf-16")
    assert has_metadata(tmp_path)
    one, two = read_image_folder(tmp_path)
    assert (one.id, tag_of(one)) == ("train/1.png", "cat")
    assert boxes(two) == [("dog", (302.0, 109.0, 375.0, 161.0))]


def test_parquet_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = [{"file_name": "1.png", "objects": BOXES}, {"file_name": "2.png", "objects": None}]
    (tmp_path / "metadata.parquet").write_bytes(parquet_bytes(rows))
    one, two = read_image_folder(tmp_path)
    assert boxes(one) == [("dog", (302.0, 109.0, 375.0, 161.0))]
    assert two.objects is None
    (tmp_path / "metadata.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="expected a Parquet file"):
        read_image_folder(tmp_path)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"file_name": ""}, "line 1: file_name: expected the path of an image, found nothing"),
        ({"file_name": "1", "objects": {"bbox": [[1, 2, 3, 4]]}}, "expected bbox and as many"),
        (
            {"file_name": "1", "objects": {"bbox": [[1]], "categories": ["a"]}},
            r"bbox\[0\]: expected four numbers",
        ),
        ({"file": "1"}, 'expected a column "file_name"'),
    ],
)
def test_faults_name_the_line(row: dict[str, object], fault: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=fault):
        read_image_folder(tmp_path)
