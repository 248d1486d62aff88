"""Labels of any source are written in any format that holds them, as one test of all pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures.imported_labels import labels
from fixtures.object_files import write_turned
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange import CARRIED, FORMATS, LABELING
from allencv_al.labels.exchange.conversion import (
    SourceLabels,
    format_of_target,
    read_labels,
    write_labels,
)
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.label_store import LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.tasks.segmentation_task import mask_text

NAMES = ["a/1.png", "b/1.png", "b/ü 2.png", "turned.jpg"]
SUFFIXES = {"cvat": ".xml", "csv": ".csv", "jsonl": ".jsonl", "kaggle": ".csv", "roboflow": ".csv"}


def box(label: str, x: float, y: float, width: float, height: float) -> dict[str, object]:
    return {"label": label, "x": x, "y": y, "width": width, "height": height}


def _mask(height: int, width: int) -> str:
    mask = np.zeros((height, width), np.uint8)
    mask[3:9, 5:20] = 1
    mask[5:20, 10:14] = 2
    return mask_text(mask)


LABELS = {
    "single_label": ["cat", "dog", "dog", "cat"],
    "multi_label": [json.dumps(one) for one in (["cat", "dog"], ["cat"], ["dog"], ["cat"])],
    "detection": [
        json.dumps([box("cat", 0, 0, 40, 24), box("dog", 3, 4, 5, 6)]),
        json.dumps([box("dog", 30, 20, 10, 4)]),
        json.dumps([box("dog", 1, 2, 3, 4)]),
        json.dumps([box("cat", 2, 30, 7, 8)]),  # only in the upright image is there a row 30
    ],
    "segmentation": [*[_mask(24, 40)] * 3, _mask(40, 24)],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in NAMES:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == "turned.jpg":
            write_turned(file, 6, (40, 24), (1, 2, 3, 4))
        else:
            Image.new("RGB", (40, 24)).save(file)
    return tmp_path / "photos"


def source(task: str, photos: Path) -> SourceLabels:
    pairs = zip(NAMES, LABELS[task], strict=True)
    entries = [LabelEntry(id, str(photos / id), text, "label") for id, text in pairs]
    return SourceLabels(entries, task, ("cat", "dog") if task == "segmentation" else (), "test")


def same(found: SourceLabels, expected: SourceLabels) -> None:
    texts = {entry.id: entry.label for entry in found.entries}
    if found.format == "folders":  # files of one name get another one
        assert sorted(texts.values()) == sorted(one.label for one in expected.entries)
        return
    for entry in expected.entries:
        text, wanted = texts[entry.id], entry.label
        if expected.task != "detection":
            assert text == wanted
            continue
        for one, other in zip(json.loads(text), json.loads(wanted), strict=True):
            assert one.pop("label") == other.pop("label")
            assert one == pytest.approx(other)


PAIRS = [
    (name, task) for task in LABELS for name in FORMATS if task in CARRIED.get(name, tuple(LABELS))
]


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_a_conversion_is_read_as_what_it_was_made_of(
    name: str, task: str, photos: Path, tmp_path: Path
) -> None:
    expected = source(task, photos)
    target = tmp_path / f"target{SUFFIXES.get(name, '.json')}"
    assert write_labels(target, name, expected) == 4
    found = read_labels(target, name, "jsonl", task, photos)
    assert found.task == task
    assert all(Path(one.image).is_file() for one in found.entries)
    same(found, expected)
    if name in ("folders", "kaggle"):  # a table of id and label is one of ours
        return
    again = read_labels(target, images=photos, target=name)
    assert again.format == name
    if task != "multi_label":
        assert again.task == task


def test_a_run_becomes_a_labeling_and_that_class_folders(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunDatabase(run / DATABASE_NAME) as database:
        LabelStore(database).add([NewLabel("a/1.png", "cat", "anna", 2, "file")])
    (run / "labels.csv").write_text("path,label,id\n../photos/a/1.png,cat,a/1.png\n")
    found = read_labels(run, target=LABELING)
    assert write_labels(tmp_path / "deep" / "labeling", LABELING, found) == 1
    assert labels(tmp_path / "deep" / "labeling") == {"a/1.png": "cat"}
    again = read_labels(tmp_path / "deep" / "labeling", target="folders")
    assert again.entries[0].annotator == "anna"
    assert write_labels(tmp_path / "tree", "folders", again, "link") == 1
    assert (tmp_path / "tree" / "cat" / "1.png").resolve() == photos / "a" / "1.png"


def test_a_tree_of_images_becomes_a_labeling_of_all_of_them(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "unlabeled/2.png"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "tree" / name)
    found = read_labels(tmp_path / "tree")
    assert write_labels(tmp_path / "labeling", LABELING, found) == 2
    given = {"cat/1.png": "cat", "dog/1.png": "dog"}
    assert labels(tmp_path / "labeling") == given
    with LabelingStore(tmp_path / "labeling" / LABELING_NAME, create=False) as store:
        assert set(store.items.numbers()) == {*given, "unlabeled/2.png"}


def test_images_are_not_decoded(photos: Path, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    for name in ("coco", "csv", "supervisely"):
        write_labels(tmp_path / f"x.{name}", name, source("detection", photos))
    write_labels(tmp_path / "y", "yolo", read_labels(tmp_path / "x.coco", images=photos), "copy")
    assert (tmp_path / "y" / "images" / "a" / "1.png").is_file()


def test_classes_need_no_image_files(photos: Path, tmp_path: Path) -> None:
    entries = [LabelEntry(f"{n}.jpg", None, "cat", "label") for n in range(3)]
    for name in ("vertex", "roboflow", "fiftyone", "supervisely", "labelbox"):
        target = tmp_path / f"x.{name}"
        write_labels(target, name, SourceLabels(entries, "single_label", (), "test"))
        found = read_labels(target, name, task="single_label")
        assert {entry.label for entry in found.entries} == {"cat"}
    with pytest.raises(DataError, match=r"files of 3 labeled images are not there"):
        write_labels(tmp_path / "y", "folders", found)
    with pytest.raises(DataError, match="cvat: it names the size of each image"):
        write_labels(tmp_path / "y", "cvat", found)
    boxes = SourceLabels([entries[0]], "detection", (), "test")
    write_labels(tmp_path / "b.coco", "coco", source("detection", photos))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b.coco").rename(tmp_path / "elsewhere" / "b.coco")
    with pytest.raises(DataError, match=r"files of 4 images are not there, .* --images DIR names"):
        read_labels(tmp_path / "elsewhere" / "b.coco", images=tmp_path / "elsewhere")
    with pytest.raises(DataError, match="the files of 1 labeled images are not there"):
        write_labels(tmp_path / "z.coco", "coco", boxes)


def test_the_target_decides_between_boxes_and_areas(photos: Path, tmp_path: Path) -> None:
    write_labels(tmp_path / "m.json", "coco", source("segmentation", photos))
    kinds = {"cvat": "segmentation", "yolo": "detection", "masks": "segmentation"}
    for target, task in kinds.items():
        assert read_labels(tmp_path / "m.json", target=target, images=photos).task == task
    several = read_labels(tmp_path / "m.json", task="multi_label", images=photos)
    assert json.loads(several.entries[0].label) == ["cat", "dog"]
    write_labels(tmp_path / "s.csv", "csv", source("single_label", photos))
    flags = read_labels(tmp_path / "s.csv", target="labelme")
    assert (flags.task, flags.entries[0].label) == ("multi_label", '["cat"]')
    with pytest.raises(DataError, match="cannot become labels of the kind detection"):
        read_labels(tmp_path / "s.csv", task="detection")


def test_one_label_of_several_annotators_counts_where_a_format_holds_one(
    photos: Path, tmp_path: Path
) -> None:
    def given(*pairs: tuple[str, float | None]) -> SourceLabels:
        file = str(photos / "a/1.png")
        entries = [LabelEntry("a/1.png", file, text, "label", time=time) for text, time in pairs]
        return SourceLabels(entries, "single_label", (), "test")

    write_labels(tmp_path / "a.csv", "kaggle", given(("cat", 2), ("dog", 3)))
    assert (tmp_path / "a.csv").read_text() == "id,label\na/1.png,dog\n"
    write_labels(tmp_path / "b.csv", "csv", given(("cat", None), ("dog", 3)))
    assert len(read_labels(tmp_path / "b.csv").entries) == 2
    with pytest.raises(DataError, match=r'"a/1.png" has several labels'):
        write_labels(tmp_path / "c.csv", "kaggle", given(("cat", None), ("dog", 3)))


def test_without_a_label_only_a_labeling_is_made(photos: Path, tmp_path: Path) -> None:
    for entries in ([], [LabelEntry("a/1.png", str(photos / "a/1.png"))]):
        found = SourceLabels(entries, "single_label", (), "test")
        with pytest.raises(DataError, match=r"nothing to convert: no image has a label \(test\)"):
            write_labels(tmp_path / "x.csv", "csv", found)
    assert write_labels(tmp_path / "labeling", LABELING, found) == 0
    with pytest.raises(DataError, match="nothing to convert"):
        write_labels(tmp_path / "y.csv", "csv", read_labels(tmp_path / "labeling"))


def test_what_does_not_go_together_is_refused(photos: Path, tmp_path: Path) -> None:
    found = source("single_label", photos)
    with pytest.raises(DataError, match="the format csv is no folder of images"):
        write_labels(tmp_path / "x.csv", "csv", found, "copy")
    with pytest.raises(DataError, match="class folders are the images"):
        write_labels(tmp_path / "x", "folders", found, "list")
    with pytest.raises(DataError, match="photos: is there already; name another folder"):
        write_labels(photos, "yolo", found)
    with pytest.raises(DataError, match="does not show a format; name one by --format: csv"):
        format_of_target(tmp_path / "x.txt")
    outside = [LabelEntry("../1.png", str(photos / "a/1.png"), "[]", "label")]
    with pytest.raises(DataError, match="leads out of the folder"):
        write_labels(tmp_path / "y", "yolo", SourceLabels(outside, "detection", (), "test"), "copy")
    assert not list(tmp_path.glob("y*"))


def test_addresses_come_before_the_ids(photos: Path, tmp_path: Path) -> None:
    found = source("single_label", photos)
    for name, key, uri in (
        ("vertex", "imageGcsUri", "gs://b/"),
        ("sagemaker", "source-ref", "s3://b/"),
    ):
        write_labels(tmp_path / name, name, found, address="gs://old/")
        again = read_labels(tmp_path / name, images=photos)
        assert again.entries[0].id == "a/1.png"
        write_labels(tmp_path / f"{name}-kept", name, again)
        write_labels(tmp_path / f"{name}-new", name, again, address=uri)
        for file, start in ((f"{name}-kept", "gs://old/"), (f"{name}-new", uri)):
            row = json.loads((tmp_path / file).read_text().splitlines()[0])
            assert row[key] == f"{start}a/1.png"
    with pytest.raises(DataError, match="the format csv has no addresses; vertex, sagemaker have"):
        write_labels(tmp_path / "x.csv", "csv", found, address="gs://b/")


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("path,labels,split\na/1.png,dog; cat,train\n", None),
        ('path,labels,split\na/1.png,"[""cat"", ""dog""]",train\n', None),
        ("id;label\na/1.png;dog, cat\n", "single_label"),
        ('id,label\na/1.png,"cat; dog"\n', "multi_label"),
    ],
)
def test_tables_of_several_classes(text: str, task: str | None, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    [entry] = read_labels(tmp_path / "t.csv", task=task).entries
    assert entry.label == ("dog, cat" if task == "single_label" else '["cat", "dog"]')
