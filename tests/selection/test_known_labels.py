"""Labels of `--labeled`: class folders, tables, labelings and runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.table_files import write

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.objects.image_annotation import ImageAnnotationReader
from allencv_al.data.dataset_readers.paired_image import PairedImageReader
from allencv_al.data.instance import Instance
from allencv_al.data.sample_data.shapes import write_shapes
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.labels.audit_sample import is_audit
from allencv_al.labels.label_store import LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.selection.known_labels import check_known_labels
from allencv_al.selection.select_inputs import read_pool, separate
from allencv_al.tasks import label_task


def labels(labeled: list[Instance]) -> dict[str, str | None]:
    return {item.id: item.label for item in labeled}


def test_class_folders_are_labels(photos: Path) -> None:
    for name in ("train/cat/1.jpg", "train/dog/2.jpg"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    rest, labeled = separate(read_pool("photos"), "train")
    assert len(rest) == 4
    assert labels(labeled) == {"train/cat/1.jpg": "cat", "train/dog/2.jpg": "dog"}


def test_labeled_images_in_the_pool_are_known_by_their_file(photos: Path) -> None:
    """The pool is the folder above, so that ids and paths are written differently."""
    Path("tables").mkdir()
    table = write(
        "tables/t.csv",
        "path,label",
        "../photos/b.jpg,cat",
        f"{photos}/a/../a/1.jpg,dog",
        "../photos/a/2.PNG,",
    )
    rest, labeled = separate(read_pool("."), table)
    assert [item.id for item in rest] == ["photos/a-.webp", "photos/a/2.PNG"]
    assert labels(labeled) == {"photos/b.jpg": "cat", "photos/a/1.jpg": "dog"}


def test_labeled_images_that_are_not_there_are_told(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that was moved: its relative paths lead elsewhere, and its labels count for none."""
    table = write("moved.csv", "path,label", "../photos/b.jpg,cat", "photos/a/1.jpg,dog")
    rest, labeled = separate(read_pool("photos"), table)
    assert len(labeled) == 2 and "b.jpg" in {item.id for item in rest}
    assert "moved.csv: 1 labeled images are not there, so their labels" in caplog.text
    assert "line 2: " in caplog.text and "1.jpg" not in caplog.text


def test_several_classes_are_written_in_the_ways_of_their_task(photos: Path) -> None:
    """As people write them, as programs do, and none of the classes, which is a label, too."""
    task = label_task("multi_label")
    cells = ["dog; cat", '"[""cat"", ""dog""]"', "cat", "[]"]
    names = ["b.jpg", "a/1.jpg", "a/2.PNG", "a-.webp"]
    rows = [f"photos/{name},{cell}" for name, cell in zip(names, cells, strict=True)]
    table = write("t.csv", "path,label", *rows[:3])
    rest, labeled = separate(read_pool("photos"), table, task)
    found = [("cat", "dog"), ("cat", "dog"), ("cat",)]
    assert [item.labels for item in labeled] == found and len(rest) == 1
    vocabulary = Vocabulary.from_instances([Instance("x", b"", "cat")])
    with pytest.raises(DataError, match=r'"dog" \(2 images\)'):
        check_known_labels(labeled, vocabulary, table, task)
    write("none.csv", "path,label", rows[3], "./photos/a-.webp,cat")
    with pytest.raises(DataError) as error:
        separate(read_pool("photos"), "none.csv", task)
    assert "line 3: a-.webp is cat here and (none) in line 2" in str(error.value).replace(
        "photos/", ""
    )


def test_a_link_to_a_labeled_image_is_that_image(photos: Path) -> None:
    Path("train/cat").mkdir(parents=True)
    Path("train/cat/x.jpg").symlink_to(photos / "b.jpg")
    rest, labeled = separate(read_pool("photos"), "train")
    assert "b.jpg" not in [item.id for item in rest]
    assert labels(labeled) == {"b.jpg": "cat"}


def test_labels_by_id(photos: Path) -> None:
    for name, lines in (
        ("ids.csv", ["id,label", "a/1.jpg,cat", "b.jpg,"]),
        ("ids.jsonl", [{"id": "a/1.jpg", "label": "cat"}, {"id": "b.jpg", "label": None}]),
    ):
        rest, labeled = separate(read_pool("photos"), write(name, *lines))
        assert [item.id for item in rest] == ["a-.webp", "a/2.PNG", "b.jpg"]
        assert labels(labeled) == {"a/1.jpg": "cat"}
        assert str(labeled[0].image) == "photos/a/1.jpg"


def test_an_id_counts_less_than_the_file_beside_it(photos: Path) -> None:
    """Of two folders with the same relative paths, only one holds the labeled image."""
    Path("other").mkdir()
    Path("other/b.jpg").touch()
    table = write("t.csv", "path,id,label", "other/b.jpg,b.jpg,cat")
    rest, labeled = separate(read_pool("photos"), table)
    assert "b.jpg" in [item.id for item in rest]
    assert labels(labeled) == {"other/b.jpg": "cat"}


def test_the_id_counts_where_the_file_has_moved(photos: Path) -> None:
    table = write("t.csv", "path,id,label", "moved/b.jpg,b.jpg,cat")
    rest, labeled = separate(read_pool("photos"), table)
    assert "b.jpg" not in [item.id for item in rest]
    assert labels(labeled) == {"b.jpg": "cat"}


def test_json_lines_with_image_path_are_labels_too(photos: Path) -> None:
    Path("tables").mkdir()
    lines = write("tables/t.jsonl", {"image_path": "photos/b.jpg", "label": "cat"})
    _, labeled = separate(read_pool("photos"), lines)
    assert labels(labeled) == {"b.jpg": "cat"}


def test_one_split_of_the_labels(photos: Path) -> None:
    write("t.csv", "path,label,split", "photos/b.jpg,cat,train", "photos/a/1.jpg,dog,test")
    _, labeled = separate(read_pool("photos"), "t.csv::train")
    assert labels(labeled) == {"b.jpg": "cat"}
    with pytest.raises(DataError, match='no rows of split "tain"; its column "split" has "test"'):
        separate(read_pool("photos"), "t.csv::tain")


def test_a_label_that_stands_twice_counts_once_and_two_labels_are_a_problem(photos: Path) -> None:
    lines = ["path,label", "photos/b.jpg,cat", "photos/../photos/b.jpg,cat", "photos/a/1.jpg,dog"]
    _, labeled = separate(read_pool("photos"), write("t.csv", *lines))
    assert labels(labeled) == {"b.jpg": "cat", "a/1.jpg": "dog"}
    with pytest.raises(DataError, match=r"line 5: .*b\.jpg is dog here and cat in line 2"):
        separate(read_pool("photos"), write("t.csv", *lines, "./photos/b.jpg,dog"))


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("nowhere.csv", [], "nowhere.csv: there is no such file or folder"),
        ("t.csv", ["path,label", "photos/b.jpg,"], "there is no label in it"),
        ("t.csv", ["path,class", "photos/b.jpg,cat"], 'expected a column "label" in the header, '),
        ("t.csv", ["file,label", "photos/b.jpg,cat"], 'expected a column "path" or "id" or '),
        ("t.csv", ["id,label", "c.jpg,cat", "d.jpg,dog"], 'line 3: the id "d.jpg" is not in the'),
        ("t.jsonl", [{"label": "cat"}], "line 1: neither a path nor an id"),
        ("t.jsonl", [{"id": "b.jpg", "label": ["cat"]}], "label: expected a text"),
        ("t.jsonl", ["nonsense"], "line 1: not JSON"),
        ("photos", [], "one folder of images for each class"),
    ],
)
def test_labels_that_cannot_be_used_are_one_message(
    photos: Path, name: str, lines: list[Any], message: str
) -> None:
    pool = read_pool("photos")
    for file in ("a/2.PNG", "a/1.jpg"):
        (photos / file).unlink()
    if lines:
        write(name, *lines)
    with pytest.raises(DataError) as error:
        separate(pool, name)
    assert message in str(error.value)
    assert "path_column" not in str(error.value)


def test_the_folder_of_a_labeling_stands_for_its_labels(photos: Path) -> None:
    with LabelingStore(Path("photos-labels") / LABELING_NAME):
        write("photos-labels/labels.csv", "path,label", "../photos/b.jpg,cat")
    _, labeled = separate(read_pool("photos"), "photos-labels")
    assert labels(labeled) == {"b.jpg": "cat"}


def test_the_labels_of_a_run_are_known_by_its_images(photos: Path) -> None:
    run = Path("run")
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"train_data_path": "photos/a"}))
    with RunDatabase(run / DATABASE_NAME) as database:
        labels = [("1.jpg", "cat"), ("gone.jpg", "dog"), ("b.jpg", "emu")]
        LabelStore(database).add([NewLabel(id, label, "me", 0, "file") for id, label in labels])
    rest, labeled = separate(read_pool("photos"), "run")
    # 1.jpg is the file in photos/a, b.jpg is known by its id alone, and gone.jpg is nowhere
    assert [(item.id, item.label) for item in labeled] == [("a/1.jpg", "cat"), ("b.jpg", "emu")]
    assert [item.id for item in rest] == ["a-.webp", "a/2.PNG"]


def test_audited_images_are_neither_chosen_nor_counted_as_labeled_by_a_strategy(
    photos: Path,
) -> None:
    table = write("t.csv", "path,label,use", "photos/a/1.jpg,dog,train", "photos/b.jpg,cat,audit")
    rest, labeled = separate(read_pool("photos"), table)
    assert "b.jpg" not in [item.id for item in rest]
    assert {item.id: is_audit(item) for item in labeled} == {"a/1.jpg": False, "b.jpg": True}


def test_several_classes_may_stand_in_a_column_of_their_own(photos: Path) -> None:
    lines = [
        '{"path": "photos/b.jpg", "label": "dog", "labels": ["dog", "cat"]}',
        '{"path": "photos/a/1.jpg", "label": "dog", "labels": []}',
        '{"path": "photos/a/2.PNG", "label": "dog"}',
    ]
    pool = read_pool("photos")
    _, labeled = separate(pool, write("t.jsonl", *lines), label_task("multi_label"))
    assert [item.labels for item in labeled] == [("cat", "dog"), (), ("dog",)]
    _, labeled = separate(pool, "t.jsonl")
    assert [item.label for item in labeled] == ["dog"] * 3
    _, labeled = separate(
        pool, write("t.csv", "path,labels", "photos/b.jpg,cat; dog"), label_task("multi_label")
    )
    assert [item.labels for item in labeled] == [("cat", "dog")]


@pytest.mark.parametrize(
    ("task", "reader"),
    [("segmentation", PairedImageReader()), ("detection", ImageAnnotationReader())],
)
def test_masks_and_boxes_are_read_by_the_reader_of_the_model(
    task: str, reader: DatasetReader, tmp_path: Path
) -> None:
    write_shapes(tmp_path / "shapes", counts={"train": 2, "validation": 1})
    kind, folder = label_task(task), tmp_path / "shapes" / "train"
    new = read_pool(str(tmp_path / "shapes" / "validation" / "images"))
    pool = [*read_pool(str(folder / "images")), replace(new[0], id="new")]
    rest, labeled = separate(pool, str(folder), kind, reader)
    assert [item.id for item in rest] == ["new"]
    own = [kind.text_of(item) for item in reader.read(str(folder))]
    assert [kind.text_of(item) for item in labeled] == own and None not in own
