"""Images of a reader decoded, one by one and all at once."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.data.dataset_readers import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import Instance
from allencv_al.data.transforms.flips import HorizontalFlip
from allencv_al.data.transforms.resizing import LongestMaxSize, Resize, SmallestMaxSize
from tests.data.dataset_readers.conftest import ArrayReader, array


def test_eager_reading_holds_decoded_uint8(tmp_path: Path, write_image):
    file = write_image("cat/a.png", color=(1, 2, 3))
    dataset = ImageClassificationDirectory(lazy=False).read(tmp_path)
    file.unlink()
    image = dataset[0].image
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8
    assert image.shape == (4, 6, 3) and (image == (1, 2, 3)).all()
    assert dataset[0].id == "cat/a.png" and dataset[0].label == "cat"
    assert (dataset.reader.load(dataset[0], 0).image == image).all()


def test_eager_reading_leaves_unreadable_images_out_and_lists_them(tmp_path: Path, write_image):
    for n in range(3):
        write_image(f"cat/{n}.png")
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    dataset = ImageClassificationDirectory(lazy=False, max_unreadable=0.4).read(tmp_path)
    assert [i.id for i in dataset] == ["cat/0.png", "cat/2.png"]
    assert list(dataset.unreadable) == ["cat/1.png"]
    assert "1.png" in str(dataset.unreadable["cat/1.png"])


def test_eager_reading_with_too_many_unreadable_says_how_to_go_on(tmp_path: Path, write_image):
    write_image("cat/good.png")
    for n in range(12):
        (tmp_path / "cat" / f"bad{n:02d}.jpg").write_bytes(b"bad")
    with pytest.raises(DataError) as error:
        ImageClassificationDirectory(lazy=False).read(tmp_path)
    message = str(error.value)
    assert message.startswith("12 of 13 images are unreadable")
    assert "set max_unreadable" in message and "bad09.jpg" in message
    assert "... and 2 more" in message and "bad10.jpg" not in message


def test_the_limit_itself_is_allowed(tmp_path: Path, write_image):
    for n in range(3):
        write_image(f"cat/{n}.png")
    (tmp_path / "cat" / "bad.png").write_bytes(b"")
    assert len(ImageClassificationDirectory(lazy=False, max_unreadable=0.25).read(tmp_path)) == 3


def test_eager_reading_with_raise_ends_at_the_first(tmp_path: Path, write_image):
    write_image("cat/a.png")
    (tmp_path / "cat" / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(ImageDecodeError, match=r"bad\.jpg"):
        ImageClassificationDirectory(lazy=False, on_error="raise").read(tmp_path)


def test_load_decodes_every_part_of_an_instance(write_image):
    instance = Instance(
        id="a",
        image=write_image("a.png"),
        mask=np.ones((4, 6), dtype=np.uint8),
        boxes=((0, 1, 2, 3), (1, 1, 9, 9)),
        box_labels=("cat", "dog"),
        keypoints=((1, 2), (-3, 8)),
    )
    sample = ArrayReader([]).load(instance, 0)
    assert sample.image.dtype == np.uint8 and sample.image.flags.c_contiguous
    assert sample.mask is not None and sample.mask.tolist() == np.ones((4, 6)).tolist()
    assert sample.boxes is not None and sample.boxes.dtype == np.float32
    assert sample.boxes.tolist() == [[0, 1, 2, 3], [1, 1, 6, 4]]  # cut at the border
    assert sample.box_labels == ["cat", "dog"]
    assert sample.keypoints is not None and sample.keypoints.tolist() == [[1, 2], [-3, 8]]


def test_an_instance_without_boxes_differs_from_one_with_none_of_them():
    reader = ArrayReader([])
    assert reader.load(Instance("a", array()), 0).boxes is None
    empty = reader.load(Instance("a", array(), boxes=(), box_labels=(), keypoints=()), 0)
    assert empty.boxes is not None and empty.boxes.shape == (0, 4)
    assert empty.keypoints is not None and empty.keypoints.shape == (0, 2)


def test_a_box_outside_the_image_names_both(write_image):
    file = write_image("a.png")
    instance = Instance("a", file, boxes=((0, 0, 2, 2), (7, 1, 9, 3)), box_labels=("x", "y"))
    with pytest.raises(DataError) as error:
        ArrayReader([]).load(instance, 0)
    assert str(file) in str(error.value)
    assert "boxes[1] = [7.0, 1.0, 9.0, 3.0]" in str(error.value)
    assert "6x4 pixels" in str(error.value)


def test_a_mask_of_another_size_names_both(write_image):
    image, mask = write_image("a.png"), write_image("mask.png", (1, 1, 1), size=(5, 4))
    with pytest.raises(DataError) as error:
        ArrayReader([]).load(Instance("a", image, mask=mask), 0)
    for part in (str(image), str(mask), "5x4", "6x4"):
        assert part in str(error.value)


def test_max_pixels_is_passed_to_the_decoder(write_image):
    instance = Instance("a", write_image("a.png"))
    assert ArrayReader([], max_pixels=24).load(instance, 0).image.shape == (4, 6, 3)
    with pytest.raises(ImageDecodeError):
        ArrayReader([], max_pixels=23).load(instance, 0)


CASES = Path(__file__).parents[1] / "cases" / "images"


def test_raw_colors_reaches_the_decoder():
    instance = Instance("a", CASES / "adobe_rgb.png")
    converted = ArrayReader([]).load(instance, 0).image
    assert converted[0, 0].tolist() == [208, 57, 57]
    assert ArrayReader([], raw_colors=True).load(instance, 0).image[0, 0].tolist() == [180, 60, 60]


def large_photo(tmp_path: Path) -> Path:
    path = tmp_path / "large.jpg"
    y, x = np.mgrid[0:600, 0:800]
    Image.fromarray(np.stack([x // 4, y // 3, (x + y) // 8], 2).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "scaling",
    [Resize(60, 50), SmallestMaxSize(60), LongestMaxSize(60)],
    ids=["resize", "smallest", "longest"],
)
def test_a_large_photograph_is_decoded_at_a_part_of_its_size(tmp_path: Path, scaling):
    instance = Instance("a", large_photo(tmp_path))
    whole = ArrayReader([], augmentation=[scaling])
    reduced = ArrayReader([], augmentation=[scaling], reduce_above=0)
    assert whole.decode(instance).image.shape == (600, 800, 3)
    assert reduced.decode(instance).image.shape == (150, 200, 3)  # 150 is at least 2 * 60
    first, second = (reader.load(instance, 0).image for reader in (whole, reduced))
    assert first.shape == second.shape
    assert np.abs(first.astype(int) - second).mean() < 2


def test_it_is_decoded_whole_where_a_part_would_not_do(tmp_path: Path):
    path = large_photo(tmp_path)
    plain = Instance("a", path)
    for augmentation in ([], [Resize(60, 60, p=0.5)], [HorizontalFlip(), Resize(60, 60)]):
        reader = ArrayReader([], augmentation=augmentation, reduce_above=0)
        assert reader.decode(plain).image.shape == (600, 800, 3)
    reader = ArrayReader([], augmentation=[Resize(60, 60)], reduce_above=0)
    boxed = Instance("a", path, boxes=((0.0, 0.0, 9.0, 9.0),))
    assert reader.decode(boxed).image.shape == (600, 800, 3)
    assert reader.decode(Instance("a", array())).image.shape == (4, 6, 3)


def test_reduce_above_is_a_number_of_pixels(tmp_path: Path):
    path = large_photo(tmp_path)
    for limit, height in ((480_000, 600), (479_999, 150)):
        reader = ArrayReader([], augmentation=[Resize(60, 60)], reduce_above=limit)
        assert reader.decode(Instance("a", path)).image.shape[0] == height
    with pytest.raises(ConfigurationError, match="reduce_above: expected int >= 0"):
        ArrayReader([], reduce_above=-1)


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_a_fault_of_the_machine_is_not_an_unreadable_image(
    monkeypatch, write_image, number: int, lazy: bool
):
    instances = [Instance(str(index), write_image(f"{index}.png")) for index in range(3)]

    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image, "open", fails)
    reader = ArrayReader(instances, lazy=lazy, max_unreadable=1.0)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        for instance in reader.read("anywhere"):
            reader.load(instance, 0)
    assert str(caught.value.filename).endswith(".png")
