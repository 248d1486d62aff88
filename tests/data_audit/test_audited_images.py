"""What `audit` reads: folders, tables, configs and runs, with their splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures.audited_sets import scene

from allencv_al.data_audit.audited_images import AuditedImage, read_audited
from allencv_al.labels.label_store import LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase


def put(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        scene(number).save(root / name)


def rows(images: list[AuditedImage]) -> list[tuple[str, str, str | None]]:
    return [(one.split, one.instance.id, one.instance.label) for one in images]


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "test/2.png")
    assert rows(read_audited(str(tmp_path))) == [
        ("", "cat/1.png", "cat"),
        ("", "test/2.png", "test"),
    ]


def test_folders_of_splits(tmp_path: Path) -> None:
    put(tmp_path, "Training/cat/1.png", "val/cat/1.png", "test/dog/3.png")
    assert sorted(rows(read_audited(str(tmp_path)))) == [
        ("test", "test/dog/3.png", "dog"),
        ("train", "Training/cat/1.png", "cat"),
        ("validation", "val/cat/1.png", "cat"),
    ]


def test_a_table_names_splits_and_groups(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png", "3.png")
    table = tmp_path / "images.csv"
    table.write_text(
        "path,label,split,group\n1.png,cat,Train,p1\n2.png,cat,valid,p1\n3.png,,test,\n"
    )
    found = read_audited(str(table))
    assert rows(found) == [
        ("train", "1.png", "cat"),
        ("validation", "2.png", "cat"),
        ("test", "3.png", None),
    ]
    assert [one.group for one in found] == ["p1", "p1", ""]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    put(tmp_path / "data", "train/cat/1.png", "train/dog/2.png", "test/cat/1.png")
    values = {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [{"type": "resize", "height": 64, "width": 64}],
        },
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "torchvision", "model": "resnet18", "weights": None},
        },
        "train_data_path": str(tmp_path / "data/train"),
        "test_data_path": str(tmp_path / "data/test"),
        "group_by": "^([a-z]+)/",
        "validation_fraction": 0.5,
        "trainer": {"type": "no_op"},
    }
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(values))
    return path


def test_a_run_of_train(config: Path) -> None:
    found = read_audited(str(config.parent))
    assert rows(found) == [
        ("train", "train/cat/1.png", "cat"),
        ("train", "dog/2.png", "dog"),
        ("test", "test/cat/1.png", "cat"),
    ], "ids that two splits have are told apart"
    assert [one.group for one in found] == ["group cat", "group dog", "group cat"]


def test_a_config(config: Path) -> None:
    written = config.with_suffix(".jsonnet")
    written.write_text(config.read_text(encoding="utf-8"))
    assert rows(read_audited(str(written))) == rows(read_audited(str(config.parent)))


def test_a_run_of_active_learn_has_the_labels_of_its_annotators(config: Path) -> None:
    with RunDatabase(config.parent / DATABASE_NAME) as database:
        LabelStore(database).add([NewLabel("cat/1.png", "dog", "me", 0, "file")])
    found = [one for one in read_audited(str(config.parent)) if one.split == "train"]
    assert [one.instance.label for one in found] == ["dog", None]
