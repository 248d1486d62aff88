"""Labels of runs and labelings as entries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange import OF_ANNOTATORS
from allencv_al.labels.exchange.class_folders import read_class_folders, write_class_folders
from allencv_al.labels.exchange.exporting import image_files, labeling_beside, read_entries, task_of
from allencv_al.labels.exchange.formats import TEXT_FORMATS
from allencv_al.labels.exchange.importing import import_entries
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


@pytest.fixture
def labeling(tmp_path: Path) -> Path:
    """Two people disagree about the first image, and agree about the second."""
    folder = tmp_path / "photos-labels"
    with LabelingStore(folder / LABELING_NAME) as store:
        store.classes.add(["cat", "dog"], "owner")
        items = [NewItem(f"{n}.png", tmp_path / "photos" / f"{n}.png") for n in range(3)]
        store.items.open_batch(items, None, 2)
        store.answers.add(NewAnswer("anna", "key-1", 1, LabelKind.LABEL, 1))
        store.answers.add(NewAnswer("ben", "key-2", 1, LabelKind.LABEL, 2))
        store.answers.add(NewAnswer("anna", "key-3", 2, LabelKind.LABEL, 2))
        store.answers.add(NewAnswer("ben", "key-4", 2, LabelKind.LABEL, 2))
    return folder


def test_agreed_labels_or_all_answers_of_a_labeling(labeling: Path, tmp_path: Path) -> None:
    images = image_files(labeling)
    assert images == {f"{n}.png": tmp_path / "photos" / f"{n}.png" for n in range(3)}
    agreed = [(one.id, one.label, one.source) for one in read_entries(labeling, images)]
    assert agreed == [("1.png", "dog", "labeling")]
    answers = read_entries(labeling, images, all_answers=True)
    assert [(one.id, one.label, one.annotator, one.image) for one in answers] == [
        ("0.png", "cat", "anna", str(images["0.png"])),
        ("0.png", "dog", "ben", str(images["0.png"])),
        ("1.png", "dog", "anna", str(images["1.png"])),
        ("1.png", "dog", "ben", str(images["1.png"])),
    ]


def test_labels_of_a_run_find_their_images_in_its_table(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunDatabase(run / DATABASE_NAME) as database:
        LabelStore(database).add([NewLabel("a/1.png", "cat", "anna", 2, "file")])
    assert [one.image for one in read_entries(run, image_files(run))] == [None]
    (run / "labels.csv").write_text("path,label\n../photos/a/1.png,cat\n")
    [entry] = read_entries(run, image_files(run))
    assert (entry.id, entry.label, entry.round) == ("a/1.png", "cat", 2)
    assert entry.image == str(tmp_path / "photos" / "a" / "1.png")


def test_a_folder_of_neither_is_an_error_with_a_hint(labeling: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    assert labeling_beside(photos) == f"; did you mean {labeling}?"
    with pytest.raises(DataError, match=r"expected the folder of a run or labeling.*did you mean"):
        read_entries(photos, {})
    with pytest.raises(DataError, match="expected the folder of a labeling"):
        read_entries(tmp_path, {}, all_answers=True)


@pytest.mark.parametrize("name", [*sorted(set(TEXT_FORMATS) & set(OF_ANNOTATORS)), "folders"])
def test_an_audit_survives_every_format(
    name: str, labeled: Path, make_labeling: Callable[..., Path], tmp_path: Path
) -> None:
    with LabelingStore(labeled / LABELING_NAME, create=False) as store:
        store.audit.add(["1.png", "2.png"])
    entries = read_entries(labeled, image_files(labeled))
    assert {entry.id for entry in entries if entry.use == "audit"} == {"1.png", "2.png"}
    if name == "folders":
        write_class_folders(tmp_path / "out", entries)
        audited = [file.name for file in (tmp_path / "out").glob("*/*")]
        assert audited == ["0.png"], "who trains on the folders must not learn the audit"
        again = read_class_folders(tmp_path / "out")
    else:
        again = TEXT_FORMATS[name].read(TEXT_FORMATS[name].write(entries), "x")
    other = make_labeling("other")
    import_entries(other, again, None)
    with LabelingStore(other / LABELING_NAME, create=False) as store:
        assert store.audit.ids() == {"1.png", "2.png"}
        assert [one.label for one in store.agreed_labels(1)][:2] == ["cat", "<dog>"]


@pytest.mark.parametrize(
    ("texts", "task"),
    [
        (["cat", "[x"], "single_label"),
        (["[x", "[y"], "single_label"),
        (["[]", '["cat"]'], "multi_label"),
        (["[]", '[{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}]'], "detection"),
        (['{"png": "masks/a.png"}'], "segmentation"),
        ([], "single_label"),
    ],
)
def test_the_kind_of_the_labels_of_a_run(texts: list[str], task: str, tmp_path: Path) -> None:
    with RunDatabase(tmp_path / DATABASE_NAME) as database:
        labels = [NewLabel(f"{n}.png", text, "anna", 1, "x") for n, text in enumerate(texts)]
        LabelStore(database).add(labels)
    assert task_of(tmp_path) == (task, [])
