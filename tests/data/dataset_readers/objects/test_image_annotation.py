from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import DataError
from allencv_al.data.batch import collate
from allencv_al.data.dataset_readers import DatasetReader, ImageAnnotationReader
from allencv_al.data.vocabulary import Vocabulary

CAT = {"bbox": [0, 1, 2, 2], "class": "cat", "keypoints": [[1, 2]]}
DOG = {"bbox": [2.5, 0, 3.5, 4], "class": "dog", "keypoints": [[3.5, 0]]}


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_boxes_and_classes(tmp_path: Path, write_image):
    write_image("images/deep/a.jpg")
    write(tmp_path / "annotations/deep/a.json", {"objects": [CAT, DOG], "author": "me"})
    reader = ImageAnnotationReader()
    (instance,) = reader.read(tmp_path)
    assert instance.id == "images/deep/a.jpg"
    assert instance.boxes == ((0, 1, 2, 3), (2.5, 0, 6, 4))
    assert instance.box_labels == ("cat", "dog")
    assert (instance.label, instance.keypoints) == (None, None)
    counts: dict[str, dict[str, int]] = {}
    instance.count_vocab_items(counts)
    assert counts == {"labels": {"cat": 1, "dog": 1}}


@pytest.mark.parametrize("content", [{"objects": [CAT]}, [CAT]])
def test_json_beside_the_image(content: Any, tmp_path: Path, write_image):
    write_image("a.jpg")
    write(tmp_path / "a.json", content)
    dataset = ImageAnnotationReader().read(tmp_path)
    assert [i.id for i in dataset] == ["a.jpg"]
    assert dataset[0].boxes == ((0, 1, 2, 3),)
    assert dataset.skipped == {}


def test_every_name_option_is_honored(tmp_path: Path, write_image):
    write_image("photos/a.jpg")
    content = {"regions": [{"box": [0, 0, 1, 1], "kind": 7, "points": [[1, 1], [2, 3]]}]}
    write(tmp_path / "labels" / "a.ann", content)
    reader = DatasetReader.from_params(
        {
            "type": "image_annotation",
            "image_dir": "photos",
            "annotation_dir": "labels",
            "annotation_ext": "ann",
            "bbox_name": "box",
            "bbox_class_name": "kind",
            "keypoint_name": "points",
            "objects_name": "regions",
            "keypoints": True,
            "num_keypoints": 2,
        }
    )
    (instance,) = reader.read(tmp_path)
    assert instance.boxes == ((0, 0, 1, 1),)
    assert instance.box_labels == ("7",)
    assert instance.keypoints == (((1, 1), (2, 3)),)


def test_what_is_not_asked_for_is_not_read(tmp_path: Path, write_image):
    write_image("images/a.jpg")
    write(tmp_path / "annotations/a.json", {"objects": [{"keypoints": [[1, 2]], "bbox": "odd"}]})
    (instance,) = ImageAnnotationReader(bbox=False, keypoints=True).read(tmp_path)
    assert (instance.boxes, instance.box_labels) == (None, None)
    assert instance.keypoints == (((1, 2),),)
    write(tmp_path / "annotations/a.json", {"objects": [{"bbox": [0, 0, 1, 1]}]})
    (instance,) = ImageAnnotationReader(bbox_class=False).read(tmp_path)
    assert (instance.boxes, instance.box_labels) == (((0, 0, 1, 1),), None)


def test_an_image_without_annotation_is_one_without_objects(tmp_path: Path, write_image, caplog):
    for name in "ab":
        write_image(f"images/{name}.jpg")
    write(tmp_path / "annotations/b.json", {"objects": []})
    a, b = ImageAnnotationReader(keypoints=True).read(tmp_path)
    assert (a.boxes, a.box_labels, a.keypoints) == (b.boxes, b.box_labels, b.keypoints) == ((),) * 3
    assert "1 images have no .json file, the first of them images/a.jpg" in caplog.text
    a, b = ImageAnnotationReader(unannotated="unlabeled").read(tmp_path)
    assert (a.boxes, a.box_labels, b.boxes) == (None, None, ())
    with pytest.raises(DataError, match=r"images/a\.jpg: no \.json file"):
        ImageAnnotationReader(unannotated="error").read(tmp_path)


def test_images_with_and_without_objects_share_a_batch(tmp_path: Path, write_image):
    for name in "ab":
        write_image(f"images/{name}.jpg")
    write(tmp_path / "annotations/a.json", {"objects": [CAT, DOG]})
    reader = ImageAnnotationReader(keypoints=True)
    dataset = reader.read(tmp_path)
    vocab = Vocabulary.from_instances(dataset)
    batch = collate(list(dataset), [reader.load(one, 0) for one in dataset], vocab)
    assert [tuple(boxes.shape) for boxes in batch.tensors["boxes"]] == [(2, 4), (0, 4)]
    assert [labels.tolist() for labels in batch.tensors["box_labels"]] == [[0, 1], []]
    assert [tuple(points.shape) for points in batch.tensors["keypoints"]] == [(2, 1, 2), (0, 1, 2)]


def test_a_box_that_fits_in_the_other_format_only_is_an_error(tmp_path: Path, write_image):
    """The file of AllenCV's own fixture, and the corners of the same box."""
    write_image("images/a.jpg", size=(640, 427))
    file = tmp_path / "annotations/a.json"
    write(file, {"objects": [{"bbox": [88, 106, 466, 179], "class": "x"}]})
    (instance,) = ImageAnnotationReader().read(tmp_path)
    assert instance.boxes == ((88, 106, 554, 285),)
    write(file, {"objects": [{"bbox": [200, 106, 500, 179], "class": "x"}]})
    with pytest.raises(DataError) as error:
        ImageAnnotationReader().read(tmp_path)
    assert str(error.value).splitlines()[1] == (
        f"  {file}: objects[0].bbox: [200, 106, 500, 179] fits into the 640x427 pixels of the "
        "image as x_min, y_min, x_max, y_max, but not as x_min, y_min, width, height; set "
        'bbox_format of the dataset reader to "pascal_voc"'
    )
    (instance,) = ImageAnnotationReader(bbox_format="pascal_voc").read(tmp_path)
    assert instance.boxes == ((200, 106, 500, 179),)
    write(file, {"objects": [{"bbox": [200, 106, 50, 79], "class": "x"}]})
    with pytest.raises(DataError, match='set bbox_format of the dataset reader to "coco"'):
        ImageAnnotationReader(bbox_format="pascal_voc").read(tmp_path)


def test_boxes_that_fit_in_both_formats_are_reported_unless_the_format_is_given(
    tmp_path: Path, write_image, caplog
):
    write_image("images/a.jpg", size=(640, 427))
    file = tmp_path / "annotations/a.json"
    both, one = [{"bbox": box, "class": "x"} for box in ([88, 106, 466, 179], [88, 106, 66, 79])]
    write(file, {"objects": [both]})
    ImageAnnotationReader(bbox_format="coco").read(tmp_path)
    assert caplog.text == ""
    ImageAnnotationReader().read(tmp_path)
    assert 'set bbox_format to "coco" or "pascal_voc"' in caplog.text
    caplog.clear()
    write(file, {"objects": [both, one]})
    ImageAnnotationReader().read(tmp_path)
    assert caplog.text == ""


def test_an_annotation_without_an_image_is_counted(tmp_path: Path, write_image):
    write_image("images/a.jpg")
    for name in ("a", "deep/b"):
        write(tmp_path / f"annotations/{name}.json", {"objects": []})
    dataset = ImageAnnotationReader().read(tmp_path)
    assert dataset.skipped == {"annotation without an image": 1}


def test_a_flip_moves_boxes_and_keypoints_with_the_image(tmp_path: Path, write_image):
    write_image("a.png", size=(6, 4))
    write(tmp_path / "a.json", [CAT, DOG])
    reader = DatasetReader.from_params(
        {
            "type": "image_annotation",
            "keypoints": True,
            "augmentation": [{"type": "vertical_flip", "p": 1.0}],
        }
    )
    sample = reader.load(reader.read(tmp_path)[0], 0)
    assert sample.boxes is not None and sample.boxes.tolist() == [[0, 1, 2, 3], [2.5, 0, 6, 4]]
    assert sample.box_labels == ["cat", "dog"]
    assert sample.keypoints is not None and sample.keypoints[:, 0, 0].tolist() == [1, 3.5]


BAD_OBJECTS = [
    ({"class": "cat"}, ".bbox: expected four numbers x_min, y_min, width, height, found nothing"),
    ({"bbox": [1, 2, 3], "class": "x"}, ".bbox: expected four numbers"),
    ({"bbox": [1, 2, "3", 4], "class": "x"}, ".bbox: expected four numbers"),
    ({"bbox": [1, 2, True, 4], "class": "x"}, ".bbox: expected four numbers"),
    ({"bbox": {"x": 1}, "class": "x"}, ".bbox: expected four numbers"),
    ({"bbox": [3, 0, -1, 4], "class": "x"}, ".bbox: expected width and height from 0 on, found"),
    ({**CAT, "bbox": [7, 0, 2, 4]}, ".bbox: expected a box inside the 6x4 pixels of the"),
    ({"bbox": [1, 0, 3, 4]}, ".class: expected a class name, found nothing"),
    ({"bbox": [1, 0, 3, 4], "class": ""}, ".class: expected a class name"),
    (
        {"bbox": [1, 0, 3, 4], "class": "x"},
        ".keypoints: expected 1 keypoints [x, y] or [x, y, visibility], found nothing",
    ),
    ({**CAT, "keypoints": [[1, 2], [3, 4]]}, ".keypoints: expected 1 keypoints [x, y] or"),
    ({**CAT, "keypoints": [[1, 2, 3]]}, ".keypoints: expected a visibility of 0, 1 or 2, found 3"),
    ({**CAT, "keypoints": [1, 2, 2, 5]}, ".keypoints: expected 1 keypoints [x, y] or"),
    (7, ": expected an object, found 7"),
]


def test_faults_are_told_all_at_once_with_file_and_field(tmp_path: Path, write_image):
    write_image("images/a.jpg")
    annotation = tmp_path / "annotations/a.json"
    reader = ImageAnnotationReader(keypoints=True, num_keypoints=1)
    for value, expected in BAD_OBJECTS:
        write(annotation, {"objects": [CAT, value, DOG]})
        with pytest.raises(DataError) as error:
            reader.read(tmp_path)
        (line,) = str(error.value).splitlines()[1:]
        assert line.startswith(f"  {annotation}: objects[1]{expected}"), (value, line)
    write(annotation, {"objects": [value for value, _ in BAD_OBJECTS]})
    with pytest.raises(DataError, match="14 problems"):
        reader.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "Expecting property name"),
        ('{"objects": [{"bbox": [0, 0, NaN, 1], "class": "x"}]}', "expected four numbers"),
        ({"shapes": []}, 'expected a list under "objects", found shapes'),
        ({}, 'expected a list under "objects", found nothing'),
        ("7", 'expected a list under "objects", found 7'),
    ],
)
def test_a_file_that_is_no_annotation_is_named(
    content: Any, expected: str, tmp_path: Path, write_image
):
    write_image("images/a.jpg")
    file = write(tmp_path / "annotations/a.json", content)
    with pytest.raises(DataError) as error:
        ImageAnnotationReader().read(tmp_path)
    assert str(file) in str(error.value) and expected in str(error.value)


def test_an_annotation_that_is_not_utf8_is_named(tmp_path: Path, write_image):
    write_image("images/a.jpg")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.json").write_bytes(b'{"objects": "\xff"}')
    with pytest.raises(DataError, match=r"a\.json"):
        ImageAnnotationReader().read(tmp_path)


def test_boxes_over_the_border_are_cut_and_those_without_area_left_out(
    tmp_path: Path, write_image, caplog
):
    write_image("a.png", size=(6, 4))
    reader = ImageAnnotationReader(keypoints=True)
    boxes = {"cut": [-2, 1, 10, 4], "flat": [2, 1, 0, 2]}
    points = {"cut": [[1, 1]], "flat": [[2, 2]]}
    objects = [{"bbox": boxes[n], "class": n, "keypoints": points[n]} for n in ("flat", "cut")]
    write(tmp_path / "a.json", objects)
    (instance,) = reader.read(tmp_path)
    assert instance.box_labels == ("cut",) and instance.keypoints == (((1, 1),),)
    sample = reader.load(instance, 0)
    assert sample.boxes is not None and sample.boxes.tolist() == [[0, 1, 6, 4]]
    assert f"left out: 1, the first of them {tmp_path / 'a.json'}: objects[0].bbox" in caplog.text


def test_num_keypoints_is_checked():
    with pytest.raises(ConfigurationError, match="num_keypoints"):
        ImageAnnotationReader(num_keypoints=0)
    faults = check(DatasetReader, {"type": "image_annotation", "num_keypoints": 0})
    assert [fault.path for fault in faults] == ["num_keypoints"]


@pytest.mark.parametrize("points", [[1, 2, 2, 0, 0, 0], [[1, 2, 2], [0, 0, 0]]])
def test_the_visibility_of_coco_keypoints_is_kept(points: Any, tmp_path: Path, write_image):
    write_image(tmp_path / "images/a.png")
    write(tmp_path / "annotations/a.json", {"objects": [{**CAT, "keypoints": points}]})
    reader = DatasetReader.from_params(
        {
            "type": "image_annotation",
            "keypoints": True,
            "num_keypoints": 2,
            "augmentation": [{"type": "vertical_flip", "p": 1.0}],
        }
    )
    (instance,) = reader.read(tmp_path)
    assert instance.keypoints == (((1, 2, 2), (0, 0, 0)),)
    sample = reader.load(instance, 0)
    assert sample.keypoints is not None
    assert sample.keypoints.tolist() == [[[1, 1, 2], [0, 0, 0]]]


def test_keypoints_without_visibility_beside_others_are_visible(tmp_path: Path, write_image):
    for name, points in (("a", [1, 2]), ("b", [3, 4, 1])):
        write_image(tmp_path / f"images/{name}.png")
        write(tmp_path / f"annotations/{name}.json", {"objects": [{**CAT, "keypoints": points}]})
    instances = ImageAnnotationReader(keypoints=True).read(tmp_path)
    assert [i.keypoints for i in instances] == [(((1, 2, 2),),), (((3, 4, 1),),)]


def test_class_names_and_files_in_other_spellings_are_the_same(tmp_path: Path, write_image):
    write_image("images/caf\u00e9.jpg")
    objects = {"objects": [{**CAT, "class": name} for name in ("caf\u00e9", "cafe\u0301 ")]}
    annotation = write(tmp_path / "annotations" / "cafe\u0301.json", objects)
    annotation.write_bytes(json.dumps(objects, ensure_ascii=False).encode("utf-16"))
    (instance,) = ImageAnnotationReader().read(tmp_path)
    assert instance.box_labels == ("caf\u00e9", "caf\u00e9")


def test_the_extension_of_an_annotation_may_be_in_capitals(tmp_path: Path, write_image):
    for name in ("images/a.jpg", "images/b.jpg"):
        write_image(name)
    write(tmp_path / "annotations" / "a.JSON", {"objects": [CAT]})
    write(tmp_path / "images" / "b.JSON", {"objects": [DOG]})
    dataset = ImageAnnotationReader().read(tmp_path)
    assert [i.box_labels for i in dataset] == [("cat",), ("dog",)]
    assert dataset.skipped == {}


def test_box_classes_that_nearly_agree_are_said(tmp_path: Path, write_image, caplog):
    write_image("images/a.jpg")
    write(tmp_path / "annotations" / "a.json", {"objects": [CAT, CAT, {**DOG, "class": "Cat"}]})
    ImageAnnotationReader().read(tmp_path)
    assert 'kept apart: "cat" (2) and "Cat" (1); are they one class?' in caplog.text


def test_a_blank_class_is_no_class(tmp_path: Path, write_image):
    write_image("images/a.jpg")
    write(tmp_path / "annotations" / "a.json", {"objects": [CAT, {**DOG, "class": " "}]})
    with pytest.raises(DataError, match=r'objects\[1\]\.class: expected a class name, found " "'):
        ImageAnnotationReader().read(tmp_path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"objects": "caf\xe9"}', "expected UTF-8, found the byte 0xe9 in line 1"),
        (b'{"objects": [{"bbox": [0, 0, 1, 1], "class": "\\ud800"}]}', "class: expected Unicode"),
        (b'{"objects": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_text_that_cannot_be_read_is_named(content: bytes, fault: str, tmp_path, write_image):
    write_image("images/a.jpg")
    write(tmp_path / "annotations" / "a.json", "").write_bytes(content)
    with pytest.raises(DataError, match=fault):
        ImageAnnotationReader().read(tmp_path)


def test_the_number_of_keypoints_is_that_of_the_objects(tmp_path: Path) -> None:
    def write(name: str, points: list) -> None:
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
        one = {"bbox": [1, 1, 9, 9], "class": "cat", "keypoints": points}
        (tmp_path / f"{name}.json").write_text(json.dumps({"objects": [one]}))

    write("a", [1, 2, 2, 3, 4, 1, 0, 0, 0, 5, 6, 2])
    write("b", [[1, 2, 2], [3, 4, 2], [5, 6, 2], [7, 8, 2]])
    reader = ImageAnnotationReader(keypoints=True)
    assert [len(one.keypoints[0]) for one in reader.read(tmp_path)] == [4, 4]
    write("c", [1, 2])
    with pytest.raises(DataError, match=r"found 1 in c\.png and 4 in a\.png; num_keypoints"):
        reader.read(tmp_path)
