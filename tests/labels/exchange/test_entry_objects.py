"""Labels of every kind go to other programs' files and come back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures.imported_labels import labels
from fixtures.object_files import write_turned
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.errors import DataError
from allencv_al.data.image_io import load_mask
from allencv_al.data.instance import Instance
from allencv_al.labels.exchange import CARRIED, FORMATS, UPRIGHT
from allencv_al.labels.exchange.entry_objects import check_carries, label_of_objects, with_objects
from allencv_al.labels.exchange.formats import TEXT_FORMATS, format_of, read_file
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.object_folders import FOLDER_FORMATS, write_object_folder
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.tasks.base import label_task
from allencv_al.tasks.segmentation_task import mask_text

SIZE = (40, 24)
NAMES = ["a/1.png", "b/1.png", "b/ü 2.png", "turned.jpg"]


def box(label: str, x: float, y: float, width: float, height: float) -> dict[str, object]:
    return {"label": label, "x": x, "y": y, "width": width, "height": height}


def _mask() -> str:
    mask = np.zeros((24, 40), np.uint8)
    mask[3:9, 5:30] = 1
    mask[5:20, 10:14] = 2
    mask[20, 39] = 1
    return mask_text(mask)


TEXTS = {
    "detection": [
        [box("cat", 0, 0, 40, 24), box("dog", 3, 4, 5, 6)],
        [],
        [box("dog", 30, 20, 10, 4)],
        [box("cat", 2, 30, 7, 8)],  # only in the upright image is there a row 30
    ],
    "multi_label": [["cat", "dog"], [], ["dog"], ["cat"]],
}
LABELS = {
    task: dict(zip(NAMES, map(json.dumps, values), strict=True)) for task, values in TEXTS.items()
}
LABELS["segmentation"] = {
    NAMES[0]: _mask(),
    NAMES[1]: mask_text(np.zeros((24, 40), np.uint8)),
    NAMES[3]: mask_text(np.tri(40, 24, dtype=np.uint8)),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in NAMES:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == "turned.jpg":
            write_turned(file, 6, SIZE, (1, 2, 3, 4))
        else:
            Image.new("RGB", SIZE).save(file)
    return tmp_path / "photos"


def entries_of(task: str, photos: Path) -> list[LabelEntry]:
    return [
        LabelEntry(name, str(photos / name), text, "label", "anna", 1.5)
        for name, text in LABELS[task].items()
    ]


CASES = [(name, task) for name in FORMATS for task in LABELS if task in CARRIED.get(name, LABELS)]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_labels_come_back_from_every_format(
    name: str, task: str, photos: Path, tmp_path: Path
) -> None:
    entries = entries_of(task, photos)
    classes = ["cat", "dog"]
    path = tmp_path / "out"
    expected = LABELS[task]
    if name == "labelbox" and task != "multi_label":  # it has no line for an image without objects
        expected = {id: text for id, text in expected.items() if id != NAMES[1]}
    if name in FOLDER_FORMATS:
        write_object_folder(name, path, with_objects(entries, task, classes))
    else:
        written = entries if name in ("csv", "jsonl") else with_objects(entries, task, classes)
        suffix = ".csv" if name in ("csv", "kaggle", "roboflow") else ".json"
        path = path.with_suffix(".xml" if name == "cvat" else suffix)
        path.write_text(TEXT_FORMATS[name].write(written), encoding="utf-8")
    if name != "yolo" or task == "detection":
        assert format_of(path) == name
    found = {}
    for entry in read_file(path, name):
        [image] = [one for one in NAMES if entry.id in (one, str(Path(one).with_suffix("")))]
        text = entry.label
        if text is None:
            where = "upright" if name in UPRIGHT else "auto"
            text = label_of_objects(task, entry, photos / image, classes, where)
        found[image] = text
    assert found.keys() == expected.keys()
    for image, text in found.items():
        value, wanted = json.loads(text), json.loads(expected[image])
        if task == "detection":  # a share of a width is not its exact number of pixels
            assert [one.pop("label") for one in value] == [one.pop("label") for one in wanted]
            for one, other in zip(value, wanted, strict=True):
                assert one == pytest.approx(other)
        else:
            assert value == wanted


@pytest.fixture
def make(tmp_path: Path, photos: Path) -> Callable[..., Path]:
    def make(name: str, classes: tuple[str, ...] = ("cat", "dog"), task: str = "detection") -> Path:
        with LabelingStore(tmp_path / name / LABELING_NAME) as store:
            store.classes.add(classes, "owner")
            store.values.set_task(task)
            store.items.open_batch([NewItem(one, photos / one) for one in NAMES])
        return tmp_path / name

    return make


def write_lines(file: Path, task: str = "detection") -> Path:
    rows = [{"id": id, "label": text} for id, text in LABELS[task].items()]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


FILES = {
    "cvat": "o.xml",
    "csv": "o.csv",
    "jsonl": "o.jsonl",
    "kaggle": "o.csv",
    "roboflow": "o.csv",
}
CARRIERS = [name for name in FORMATS if "detection" in CARRIED.get(name, ("detection",))]


@pytest.mark.parametrize("name", CARRIERS)
def test_the_commands_carry_boxes_from_labeling_to_labeling(
    name: str, make: Callable[..., Path], tmp_path: Path, capsys
) -> None:
    first, second = make("first"), make("second")
    assert main(["import-labels", str(write_lines(tmp_path / "x.jsonl")), str(first)]) == 0
    assert labels(first) == LABELS["detection"]
    output = tmp_path / FILES.get(name, "o.json" if name not in FOLDER_FORMATS else "o")
    assert main(["export-labels", str(first), "--format", name, "--output", str(output)]) == 0
    assert main(["import-labels", str(output), str(second)]) == 0
    for id, text in labels(second).items():
        for one, other in zip(json.loads(text), json.loads(LABELS["detection"][id]), strict=True):
            assert one.pop("label") == other.pop("label")
            assert one == pytest.approx(other)
    capsys.readouterr()
    assert main(["import-labels", str(output), str(second)]) == 0  # once more
    count = 3 if name == "labelbox" else 4
    assert f"0 of {count} labels are new" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cvat", "csv", "label-studio", "labelme"])
def test_the_commands_carry_classes_of_an_image_from_labeling_to_labeling(
    name: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = make("first", task="multi_label"), make("second", task="multi_label")
    (tmp_path / "x.csv").write_text(
        f"id,label\n{NAMES[0]},dog ; cat\n{NAMES[1]},cat\n{NAMES[2]},[]\n"
    )
    assert main(["import-labels", str(tmp_path / "x.csv"), str(first)]) == 0
    said = dict(zip(NAMES, ['["cat", "dog"]', '["cat"]', "[]"], strict=False))
    assert labels(first) == said
    output = tmp_path / FILES.get(name, "o.json" if name not in FOLDER_FORMATS else "o")
    assert main(["export-labels", str(first), "--format", name, "--output", str(output)]) == 0
    assert main(["import-labels", str(output), str(second)]) == 0
    assert labels(second) == said


@pytest.mark.parametrize("name", ["coco", "label-studio", "jsonl"])
def test_the_commands_carry_masks_with_the_places_of_their_classes(
    name: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    first = make("first", task="segmentation")
    second = make("second", ("dog", "cat"), task="segmentation")  # in another order
    lines = write_lines(tmp_path / "x.jsonl", "segmentation")
    assert main(["import-labels", str(lines), str(first)]) == 0
    assert labels(first) == LABELS["segmentation"]
    output = tmp_path / FILES.get(name, "o.json")
    assert main(["export-labels", str(first), "--format", name, "--output", str(output)]) == 0
    assert main(["import-labels", str(output), str(second)]) == 0
    swapped = np.array([0, 2, 1], np.uint8) if name != "jsonl" else np.array([0, 1, 2], np.uint8)
    task = label_task("segmentation")
    for id, text in LABELS["segmentation"].items():
        [mask, other] = [
            load_mask(task.labeled(Instance(id, b""), one).mask)
            for one in (text, labels(second)[id])
        ]
        assert other.tolist() == swapped[mask].tolist()


def test_formats_that_cannot_hold_a_label_say_which_can(make, tmp_path: Path, capsys) -> None:
    folder = make("first")
    assert main(["import-labels", str(write_lines(tmp_path / "x.jsonl")), str(folder)]) == 0
    code = main(["export-labels", str(folder), "--format", "folders", "--output", "x"])
    assert code == 2
    assert (
        "the format folders holds no labels of the kind detection; these do: csv, jsonl, coco, "
        "cvat, fiftyone, huggingface, label-studio, labelbox, labelme, pascal-voc, sagemaker, "
        "supervisely, vertex, yolo" in capsys.readouterr().err
    )
    check_carries("csv", "a_task_of_ones_own")
    with pytest.raises(DataError, match="holds no labels of the kind a_task_of_ones_own"):
        check_carries("coco", "a_task_of_ones_own")


def test_boxes_are_no_labels_of_a_labeling_of_classes(
    labeled: Path, tmp_path: Path, capsys
) -> None:
    rows = {"images": [{"id": 1, "file_name": "3.png"}], "categories": [], "annotations": []}
    (tmp_path / "x.json").write_text(json.dumps(rows))
    assert main(["import-labels", str(tmp_path / "x.json"), str(labeled)]) == 2
    assert "nothing to import" in capsys.readouterr().err


def test_faults_of_boxes_name_image_and_box_and_nothing_is_stored(
    make, tmp_path: Path, capsys
) -> None:
    folder = make("first")
    wrong = [[box("cow", 1, 1, 2, 2)], [box("cat", 1, 1, 0, 2)], {}, [box("cat", 1, 1, 2, 2)]]
    rows = [{"id": id, "label": json.dumps(v)} for id, v in zip(NAMES, wrong, strict=True)]
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main(["import-labels", str(tmp_path / "x.jsonl"), str(folder)]) == 2
    said = capsys.readouterr().err
    assert '"cow" is no class' in said
    assert "boxes[0]: expected a box with an area" in said
    assert "expected a JSON array of boxes" in said
    assert labels(folder) == {}


def test_an_image_of_another_size_is_a_fault(photos: Path) -> None:
    [first, *_] = with_objects(entries_of("detection", photos), "detection")
    Image.new("RGB", (50, 50)).save(photos / NAMES[0])
    with pytest.raises(DataError, match="objects are those of an image of 40x24 pixels"):
        label_of_objects("detection", first, photos / NAMES[0])


def test_images_must_be_there_to_measure_boxes_by(photos: Path) -> None:
    entries = entries_of("detection", photos)
    (photos / NAMES[2]).unlink()
    with pytest.raises(DataError, match=r"files of 1 labeled images .* first is \"b/ü 2.png\""):
        with_objects(entries, "detection")


def test_indices_without_names_are_their_own_names(photos: Path) -> None:
    mask = np.zeros((24, 40), np.uint8)
    mask[2:5, 2:5], mask[10:, 10:], mask[0, 0] = 3, 254, 255
    entry = LabelEntry("a/1.png", str(photos / "a/1.png"), mask_text(mask), "label")
    [written] = with_objects([entry], "segmentation")
    assert label_of_objects("segmentation", written, photos / "a/1.png") == mask_text(mask)


def test_a_mask_in_a_file_is_read(photos: Path) -> None:
    mask = np.zeros((24, 40), np.uint8)
    mask[2:5, 2:5] = 1
    Image.fromarray(mask).save(photos / "a" / "mask.png")
    entry = LabelEntry("a/1.png", str(photos / "a/1.png"), '{"png": "mask.png"}', "label")
    [found] = with_objects([entry], "segmentation", ["cat"])
    text = label_of_objects("segmentation", found, photos / "a/1.png", ["cat"])
    assert text == mask_text(mask)
    assert label_task("segmentation").labeled(Instance("a", b""), text).is_labeled
