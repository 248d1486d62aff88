"""The reader of COCO files, against pycocotools."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.object_files import BOXES, SIZE, bounds_of_white, found_boxes, write_turned
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.objects.coco import CocoReader
from allencv_al.data.instance import IgnoredBox

CATEGORIES = {"dog": 90, "cat": 3}  # with gaps, and not in the order of the names


def content(**changes: Any) -> dict[str, Any]:
    """Return a COCO file of the three images."""
    names = list(BOXES)
    images = [
        {"id": 10 + n, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
        for n, name in enumerate(names)
    ]
    annotations = [
        {
            "id": 100 * n + k,
            "image_id": 10 + n,
            "category_id": CATEGORIES[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for n, name in enumerate(names)
        for k, (label, (x1, y1, x2, y2)) in enumerate(BOXES[name])
    ]
    categories = [{"id": id, "name": name} for name, id in CATEGORIES.items()]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    return {**whole, **changes}


def write(file: Path, value: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def test_boxes_and_names_are_those_of_pycocotools(write_images) -> None:
    file = write(write_images() / "annotations" / "instances.json", content())
    dataset = DatasetReader.from_params({"type": "coco", "image_dir": "../images"}).read(file)
    assert found_boxes(dataset) == BOXES
    oracle = COCO(str(file))
    for one in dataset:
        entries = oracle.loadAnns(oracle.getAnnIds(imgIds=one.metadata["image_id"]))
        assert [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in one.boxes or ()] == [
            entry["bbox"] for entry in entries
        ]
        categories = oracle.loadCats([entry["category_id"] for entry in entries])
        assert one.box_labels == tuple(category["name"] for category in categories)
    assert [one.id for one in dataset] == list(BOXES)


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("train", "train/_annotations.coco.json"),  # Roboflow
        ("images", "result.json"),  # Label Studio
        ("train2017", "annotations/instances_train2017.json"),  # COCO
        ("images/default", "annotations/instances_default.json"),  # CVAT
    ],
)
def test_images_are_found_where_programs_put_them(folder: str, file: str, write_images) -> None:
    root = write_images(folder)
    path = write(root / file, content())
    place = path.parent if path.parent.name != "annotations" else root
    for given in (path, place):
        dataset = CocoReader().read(given)
        assert [Path(str(one.image)) for one in dataset] == [root / folder / n for n in BOXES]


def test_images_under_other_folders_are_found_by_a_unique_name(write_images) -> None:
    root = write_images("images/deep")
    images = [{**one, "file_name": f"C:\\x\\{one['file_name']}"} for one in content()["images"]]
    file = write(root / "a.json", content(images=images))
    with pytest.raises(DataError, match="Windows path"):
        CocoReader().read(file)
    images = [{**one, "file_name": f"other/{one['file_name']}"} for one in content()["images"]]
    write(file, content(images=images))
    assert found_boxes(CocoReader().read(file)) == BOXES


def test_a_crowd_is_neither_learned_nor_judged(write_images) -> None:
    value = content()
    value["annotations"][0]["iscrowd"] = 1
    file = write(write_images("") / "a.json", value)
    first = CocoReader().read(file)[0]
    assert first.box_labels == ("dog",)
    assert first.ignored == (IgnoredBox((4, 6, 14, 18), "cat", is_crowd=True),)
    assert found_boxes(CocoReader(crowd="keep").read(file)) == BOXES


def test_without_annotations_images_are_unlabeled(write_images) -> None:
    value = content()
    del value["annotations"]
    dataset = CocoReader().read(write(write_images("") / "a.json", value))
    assert [one.boxes for one in dataset] == [None, None, None]


def entry(**changes: Any) -> dict[str, Any]:
    return {"image_id": 10, "category_id": 3, "bbox": [1, 1, 2, 2], **changes}


BAD = [
    (entry(image_id=9), "annotations[0].image_id: expected a known id, found 9"),
    (entry(category_id=[]), "annotations[0].category_id: expected a known id, found []"),
    (entry(bbox=[1, 2, 3]), "annotations[0].bbox: expected x, y, width, height, found [1, 2, 3]"),
    (entry(bbox=[1, 2, -3, 4]), "annotations[0].bbox: expected x, y, width, height, found [1, 2"),
    (entry(bbox=None), "annotations[0].bbox: expected x, y, width, height, found nothing"),
    (7, "annotations[0]: expected an object, found 7"),
    (entry(bbox=[40, 0, 2, 2]), "annotations[0].bbox: expected a box inside the 40x30 pixels"),
]


@pytest.mark.parametrize(("value", "expected"), BAD)
def test_faults_name_the_entry(value: Any, expected: str, write_images) -> None:
    file = write(write_images("") / "a.json", content(annotations=[value]))
    with pytest.raises(DataError) as error:
        CocoReader().read(file)
    assert expected in str(error.value) and str(file) in str(error.value)


def test_faults_come_all_at_once(write_images) -> None:
    value = content(annotations=[one for one, _ in BAD[:6]])
    value["images"] += [{"id": 10, "file_name": "x.png"}, {"id": 11}, 5]
    value["categories"] += [{"id": 3, "name": "cow"}, {"name": "cow"}]
    with pytest.raises(DataError, match="11 problems"):
        CocoReader().read(write(write_images("") / "a.json", value))


def test_missing_images_are_listed(write_images) -> None:
    value = content()
    for one in value["images"][:2]:
        one["file_name"] = "absent/" + one["file_name"].upper()
    with pytest.raises(DataError, match=r"2 problems:\n.*no image absent/A\.PNG in .*\n.*\n.*_dir"):
        CocoReader().read(write(write_images("") / "a.json", value))


@pytest.mark.parametrize("value", ["{", "[]", '{"images": []}', '{"images": {}, "categories": []}'])
def test_a_file_that_is_not_coco_is_named(value: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(value)
    with pytest.raises(DataError, match=r"a\.json"):
        CocoReader().read(file)


def test_a_folder_with_several_files_is_ambiguous(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.json", content())
    with pytest.raises(DataError, match=r"one COCO file, found a\.json, b\.json; name one"):
        CocoReader().read(tmp_path)


def test_another_size_than_the_images_is_an_error(write_images) -> None:
    value = content()
    value["images"][0].update(width=80, height=60)
    with pytest.raises(DataError, match=r"of an image of 80x60 pixels, but .*a\.png has 40x30"):
        CocoReader().read(write(write_images("") / "a.json", value))
    value["images"][0].update(width=0, height=0)
    assert len(CocoReader().read(write(write_images("") / "a.json", value))) == 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_boxes_of_stored_pixels_are_turned_with_the_image(
    orientation: int, extension: str, tmp_path: Path
) -> None:
    """The white pixels of the decoded image are the oracle."""
    box = (8, 0, 24, 8)
    image = tmp_path / f"a.{extension}"
    write_turned(image, orientation, SIZE, box)
    annotation = entry(bbox=[box[0], box[1], box[2] - box[0], box[3] - box[1]])
    size = dict(zip(("width", "height"), SIZE, strict=True))
    images = [{"id": 10, "file_name": image.name, **size}]
    file = write(tmp_path / "a.json", content(images=images, annotations=[annotation]))
    reader = CocoReader(coordinates="stored")
    sample = reader.load(reader.read(file)[0], 0)
    assert sample.boxes is not None
    assert sample.boxes[0].tolist() == bounds_of_white(sample.image)
    if orientation in (2, 3, 4):
        with pytest.raises(DataError, match=f'orientation {orientation}.*set coordinates to\\s"up'):
            CocoReader().read(file)
    else:
        assert CocoReader().read(file)[0].boxes == reader.read(file)[0].boxes


def test_boxes_of_the_upright_image_stay(tmp_path: Path) -> None:
    write_turned(tmp_path / "a.jpg", 6, SIZE, (8, 0, 24, 8))
    images = [{"id": 10, "file_name": "a.jpg", "width": SIZE[1], "height": SIZE[0]}]
    annotation = entry(bbox=[22, 8, 8, 16])
    file = write(tmp_path / "a.json", content(images=images, annotations=[annotation]))
    reader = CocoReader()
    sample = reader.load(reader.read(file)[0], 0)
    assert sample.boxes is not None
    assert sample.boxes[0].tolist() == bounds_of_white(sample.image) == [22, 8, 30, 24]


POLYGON = [2.5, 2.5, 12.5, 3, 11, 17.5]


def segmented(file: Path) -> list[dict[str, Any]]:
    """Return annotations of the first image: polygons, runs as numbers and as text, a crowd."""
    blank = np.zeros((SIZE[1], SIZE[0]), np.uint8, order="F")
    low, right = blank.copy(order="F"), blank.copy(order="F")
    low[20:28, 4:20] = 1
    right[3:9, 30:39] = 1
    coded = coco_mask.encode(low)
    runs = [len(list(group)) for _, group in groupby(right.ravel(order="F"))]
    size = [SIZE[1], SIZE[0]]
    regions = [
        ([POLYGON, [20, 2, 26, 2, 26, 8, 20, 8]], "cat", 0),
        ({"size": size, "counts": coded["counts"].decode()}, "dog", 0),
        ({"size": size, "counts": runs}, "cat", 1),
    ]
    return [
        {
            "id": number,
            "image_id": 10,
            "category_id": CATEGORIES[name],
            "segmentation": region,
            "iscrowd": crowd,
            "bbox": [1, 1, 3, 3],
            "keypoints": [4, 6, 2, 8, 9, 1, 0, 0, 0],
        }
        for number, (region, name, crowd) in enumerate(regions)
    ]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_masks_are_those_of_pycocotools(write_images) -> None:
    file = write(write_images("") / "a.json", content())
    file = write(file, content(annotations=segmented(file)))
    found = CocoReader(target="masks").read(file)
    oracle = COCO(str(file))
    expected = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    indices = {3: 1, 90: 2}  # the categories in the order of their ids
    for entry in oracle.loadAnns(oracle.getAnnIds(imgIds=10)):
        index = 255 if entry["iscrowd"] else indices[entry["category_id"]]
        expected[oracle.annToMask(entry) > 0] = index
    assert (found.reader.decode(found[0]).mask == expected).all()
    assert not found.reader.decode(found[1]).mask.any()


def test_boxes_around_polygons_that_stand_alone(write_images) -> None:
    value = content()
    value["annotations"] = [entry(segmentation=[POLYGON], bbox=None)]
    file = write(write_images("") / "a.json", value)
    assert CocoReader().read(file)[0].boxes == ((2.5, 2.5, 12.5, 17.5),)


def test_labels_are_the_classes_of_the_objects(write_images) -> None:
    file = write(write_images("") / "a.json", content())
    found = CocoReader(target="labels").read(file)
    assert [one.labels for one in found] == [("cat", "dog"), ("dog",), ()]


def test_keypoints_are_read_beside_boxes_and_an_absent_one_stays_absent(write_images) -> None:
    file = write(write_images("") / "a.json", content())
    value = segmented(file)[:2]
    del value[1]["keypoints"]
    write(file, content(annotations=value))
    first, second, _ = CocoReader(keypoints=True).read(file)
    assert first.keypoints == (((4, 6, 2), (8, 9, 1), (0, 0, 0)), ((0, 0, 0),) * 3)
    assert second.keypoints == ()


BAD_REGIONS = [
    ([[1, 2, 3, 4]], ".segmentation: expected lists of x, y of three corners"),
    ([1, 2, 3, 4, 5, 6], ".segmentation: expected lists of x, y of three corners"),
    ([[1, 2, 3, 4, 5, "6"]], ".segmentation: expected numbers"),
    ({"size": [30, 40], "counts": [7]}, ".segmentation: expected runs of 1200 pixels"),
    ({"size": [40, 30], "counts": [1200]}, "it is 30x40 pixels, its image 40x30"),
    ({"counts": [1200]}, ".segmentation: expected size and counts"),
]


@pytest.mark.parametrize(("region", "expected"), BAD_REGIONS)
def test_faults_of_regions_name_the_entry(region: Any, expected: str, write_images) -> None:
    value = content(annotations=[entry(segmentation=region)])
    with pytest.raises(DataError) as error:
        CocoReader().read(write(write_images("") / "a.json", value))
    assert f"annotations[0]{'' if expected[0] == '.' else '.segmentation: '}{expected}" in str(
        error.value
    )
