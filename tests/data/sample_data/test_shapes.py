"""Drawn shapes: what the labels say is what the pixels show, through the readers of each kind."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from allencv_al.__main__ import main
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.sample_data.shapes import EMPTY, SHAPES, draw_shapes, write_shapes

READERS = {
    "manifest": "labels.jsonl",
    "paired_image": ".",
    "coco": "instances.json",
    "image_annotation": ".",
}
OPTIONS = {"image_annotation": {"keypoints": True}, "paired_image": {"num_classes": 4}}
SMALL = {"train": 40, "test": 10}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes") / "data", counts=SMALL)


@pytest.fixture(scope="module")
def items(written: Path) -> dict[str, list[tuple[Instance, Sample]]]:
    """Return instances and decoded samples of the training images by reader."""
    found = {}
    for name, place in READERS.items():
        reader = DatasetReader.from_params({"type": name, **OPTIONS.get(name, {})})
        dataset = reader.read(written / "train" / place)
        found[name] = [(one, reader.load(one, 0)) for one in dataset]
    return found


def test_each_reader_finds_the_same_images(items) -> None:
    ids = {name: [Path(one.id).name for one, _ in found] for name, found in items.items()}
    assert len(ids["coco"]) == 40
    assert len({tuple(found) for found in ids.values()}) == 1


def test_masks_are_the_pixels_of_one_bright_color(items) -> None:
    for _, sample in items["paired_image"]:
        assert sample.mask is not None
        assert sample.image[sample.mask == 0].max(initial=0) < 96
        shapes = sample.image[sample.mask > 0]
        assert shapes.max(axis=1, initial=0).min(initial=255) >= 170
        assert len(np.unique(shapes, axis=0)) <= 3


def test_boxes_bound_the_mask_and_are_the_same_in_both_formats(items) -> None:
    coco, allencv, masks = (items[name] for name in ("coco", "image_annotation", "paired_image"))
    for (one, _), (other, _), (_, sample) in zip(coco, allencv, masks, strict=True):
        assert (one.boxes, one.box_labels) == (other.boxes, other.box_labels)
        assert sample.mask is not None and one.boxes is not None and one.box_labels is not None
        for number, name in enumerate(SHAPES, start=1):
            rows, columns = np.nonzero(sample.mask == number)
            boxes = np.array(
                [b for b, n in zip(one.boxes, one.box_labels, strict=True) if n == name]
            )
            assert bool(len(rows)) == bool(len(boxes))
            if len(rows):
                bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)] == bounds


def test_classes_are_those_of_the_boxes_and_the_label_is_of_the_largest(items) -> None:
    for (row, _), (one, _), (_, sample) in zip(
        *(items[name] for name in ("manifest", "coco", "paired_image")), strict=True
    ):
        assert row.labels == tuple(sorted(set(one.box_labels or ())))
        assert sample.mask is not None
        counts = np.bincount(sample.mask.ravel(), minlength=4)[1:]
        if len(one.box_labels or ()) <= 1:
            assert row.label == (one.box_labels[0] if one.box_labels else EMPTY)
        assert row.label == EMPTY or counts[SHAPES.index(row.label or "")] > 0


def test_a_keypoint_is_in_the_middle_and_knows_whether_it_is_covered(items) -> None:
    hidden = 0
    for (one, sample), (_, masked) in zip(
        items["image_annotation"], items["paired_image"], strict=True
    ):
        assert sample.keypoints is not None and masked.mask is not None
        assert len(sample.keypoints) == len(one.box_labels or ())
        for name, ((x, y, visibility),) in zip(one.box_labels or (), sample.keypoints, strict=True):
            hidden += visibility == 1
            if visibility == 2:
                assert masked.mask[int(y), int(x)] == SHAPES.index(name) + 1
    assert hidden < 5


def test_circles_and_triangles_have_the_area_of_such() -> None:
    """The share of the square around them, within the pixels of the outline."""
    shares = {"circle": np.pi / 4, "square": 1, "triangle": 1 / 2}
    for number in range(60):
        shapes = draw_shapes(f"x/{number}").shapes
        if len(shapes) == 1:
            ((_, _, width, height),) = [one.box for one in shapes]
            area = shapes[0].visible.sum() / (width * height)
            assert area == pytest.approx(shares[shapes[0].name], abs=0.06)


def test_one_of_ten_images_is_empty_and_no_class_is_rare() -> None:
    images = [draw_shapes(f"0/train/{number}") for number in range(400)]
    labels = [image.label for image in images]
    assert labels.count(EMPTY) == pytest.approx(40, abs=18)  # three standard deviations
    assert min(labels.count(name) for name in SHAPES) > 80
    assert {len(image.shapes) for image in images} == {0, 1, 2, 3}


def test_a_key_gives_one_image_on_every_machine(written: Path) -> None:
    digest = hashlib.sha256(draw_shapes("0/train/0").pixels.tobytes()).hexdigest()
    assert digest[:16] == "149fa0aeb54b317c"
    files = {file.read_bytes() for file in written.glob("*/images/*.png")}
    assert len(files) == sum(SMALL.values())


def test_another_seed_is_another_data_set(written: Path) -> None:
    assert write_shapes(written, counts=SMALL) == written
    with pytest.raises(DataError, match="test: expected the 32 images of shapes"):
        write_shapes(written, seed=1, counts=SMALL)


def test_the_command_names_the_paths_of_each_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allencv_al.data.sample_data.shapes.COUNTS", {"train": 3})
    assert main(["sample-data", "shapes", str(tmp_path / "s"), "--seed", "5"]) == 0
    for line in capsys.readouterr().out.splitlines():
        name, _, path = line.partition(" = ")
        reader = DatasetReader.from_params({"type": name.split()[-1]})
        assert len(reader.read(path)) == 3 and "shapes_5_" in reader.read(path)[0].id
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--seed", "5"]) == 2
    assert "--seed is for the shapes" in capsys.readouterr().err
