"""The reader of YOLO folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.object_files import BOXES, SIZE, bounds_of_white, found_boxes, write_turned

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.objects.yolo import YoloReader

NAMES = ["cat", "dog"]
WIDTH, HEIGHT = SIZE


def row(label: str, box) -> str:
    x1, y1, x2, y2 = box
    middle = (x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT
    return f"{NAMES.index(label)} {middle[0]} {middle[1]} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}"


def write_labels(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, boxes in BOXES.items():
        if boxes:  # YOLO writes no file, or an empty one, for an image without objects
            text = "\n".join(row(label, box) for label, box in boxes)
            (folder / name).with_suffix(".txt").write_text(text + "\n")


def rounded(dataset) -> dict[str, list]:
    return {
        name: [(label, tuple(round(x, 9) for x in box)) for label, box in boxes]
        for name, boxes in found_boxes(dataset).items()
    }


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "\n  0: cat\n  1: dog"])
def test_a_yaml_file_names_classes_and_splits(names: str, write_images) -> None:
    root = write_images("images/train")
    write_images("images/val")
    write_labels(root / "labels/train")
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames: {names}\n")
    reader = DatasetReader.from_params({"type": "yolo"})
    dataset = reader.read(f"{root}/data.yaml::train")
    assert rounded(dataset) == BOXES
    assert [one.id for one in dataset] == [f"images/train/{name}" for name in BOXES]
    assert len(reader.read(f"{root}::val")) == 3 and len(reader.read(root)) == 6
    with pytest.raises(DataError, match=r"test: expected a folder.*; splits here: train, val"):
        reader.read(f"{root}::test")


@pytest.mark.parametrize("place", ["classes.txt", "obj.names"])
def test_a_folder_with_a_list_of_classes(place: str, write_images) -> None:
    root = write_images("")
    write_labels(root)
    (root / place).write_text("cat\ndog\n")
    dataset = YoloReader().read(root)
    assert rounded(dataset) == BOXES
    (root / place).unlink()
    with pytest.raises(DataError, match=r"expected the names of the classes in data\.yaml"):
        YoloReader().read(root)


def test_label_studio_writes_two_folders_and_a_list(write_images) -> None:
    root = write_images("images")
    write_labels(root / "labels")
    (root / "classes.txt").write_text("cat\ndog")
    assert rounded(YoloReader().read(root)) == BOXES


def test_roboflow_writes_folders_beside_the_file_as_if_above(write_images) -> None:
    root = write_images("train/images")
    write_labels(root / "train/labels")
    (root / "data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['cat', 'dog']")
    assert rounded(YoloReader().read(f"{root}::train")) == BOXES


def test_a_split_may_be_a_list_of_images(write_images) -> None:
    root = write_images("images")
    write_labels(root / "labels")
    (root / "train.txt").write_text("./images/a.png\nimages/empty.png\n")
    (root / "data.yaml").write_text("path: /absent\ntrain: train.txt\nnames: [cat, dog]")
    dataset = YoloReader().read(f"{root}::train")
    assert [one.id for one in dataset] == ["images/a.png", "images/empty.png"]


def test_a_polygon_and_a_rotated_box_are_bound(write_images) -> None:
    root = write_images("")
    (root / "classes.txt").write_text("cat")
    (root / "a.txt").write_text("0 0.1 0.5 0.2 0.4 0.3 0.6\n0 .2 .2 .4 .1 .5 .3 .3 .4\n")
    first = YoloReader().read(root)[0]
    assert first.boxes == (
        pytest.approx((0.1 * WIDTH, 0.4 * HEIGHT, 0.3 * WIDTH, 0.6 * HEIGHT)),
        pytest.approx((0.2 * WIDTH, 0.1 * HEIGHT, 0.5 * WIDTH, 0.4 * HEIGHT)),
    )


BAD = [
    ("0 0.5 0.5 0.2", "expected a class with x, y, width, height or with x, y of three corners"),
    ("0 0.5 0.5 0.2 0.2 0.9", "expected a class with x, y, width, height or"),
    ("cat 0.5 0.5 0.2 0.2", "expected numbers, found cat 0.5"),
    ("0 nan 0.5 0.2 0.2", "expected a class with x"),
    ("2 0.5 0.5 0.2 0.2", "expected a class of 0 to 1, found 2"),
    ("0.5 0.5 0.5 0.2 0.2", "expected a class of 0 to 1, found 0.5"),
    ("0 20 15 8 6", "expected shares of the image's width and height, 0 to 1, found 20"),
    ("0 0.5 0.5 -0.01 0.2", "expected width and height from 0 on, found -0.01 0.2"),
]


def test_faults_name_file_and_line_all_at_once(write_images) -> None:
    root = write_images("")
    (root / "classes.txt").write_text("cat\ndog\n")
    (root / "a.txt").write_text("\n".join(line for line, _ in BAD))
    with pytest.raises(DataError) as error:
        YoloReader().read(root)
    lines = str(error.value).splitlines()
    assert "8 problems" in lines[0]
    for number, ((_, expected), line) in enumerate(zip(BAD, lines[1:], strict=True), start=1):
        assert line.startswith(f"  {root / 'a.txt'}: line {number}: {expected}"), line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("- a", "expected names and splits"),
        ("names: [", "expected YAML"),
        ("train: images", "names: expected a list of class names, found null"),
        ("train: images\nnames: [cat, [dog]]", "names: expected a list of class names"),
        ("train: absent\nnames: [cat]", "absent: expected a folder of images, found nothing"),
        ("names: [cat]\ntrain: [1]", "train: expected a folder, or a list of them"),
        ("names: !!python/object/apply:os.getcwd []", "expected YAML"),
    ],
)
def test_a_yaml_file_that_is_none_of_yolo_is_named(
    content: str, expected: str, write_images
) -> None:
    root = write_images("images")
    (root / "data.yaml").write_text(content)
    with pytest.raises(DataError) as error:
        YoloReader().read(root)
    assert str(root / "data.yaml") in str(error.value) and expected in str(error.value)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_shares_are_of_the_upright_image_or_of_the_stored_one(
    orientation: int, tmp_path: Path
) -> None:
    box = (8, 0, 24, 8)
    write_turned(tmp_path / "a.png", orientation, SIZE, box)
    (tmp_path / "classes.txt").write_text("cat")
    (tmp_path / "a.txt").write_text(row("cat", box))
    reader = YoloReader(coordinates="stored")
    sample = reader.load(reader.read(tmp_path)[0], 0)
    assert sample.boxes is not None
    expected = bounds_of_white(sample.image)
    assert sample.boxes[0].tolist() == pytest.approx(expected, abs=1e-4)
    height, width = sample.image.shape[:2]
    x1, y1, x2, y2 = expected
    shares = f"{(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width}"
    (tmp_path / "a.txt").write_text(f"0 {shares} {(y2 - y1) / height}")
    upright = YoloReader()
    sample = upright.load(upright.read(tmp_path)[0], 0)
    assert sample.boxes is not None
    assert sample.boxes[0].tolist() == pytest.approx(expected, abs=1e-4)
