from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader, PairedImageReader


def write_mask(file: Path, values: list[list[int]], mode: str = "L") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(np.array(values, dtype=np.uint8), mode="L")
    if mode == "P":
        palette = mask.convert("P")
        palette.putdata(np.array(values).ravel().tolist())
        palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, *([0] * 759)])
        mask = palette
    mask.save(file)


VALUES = [[0, 0, 1], [2, 1, 1]]


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_are_class_indices(mode: str, tmp_path: Path, write_image):
    write_image("images/deep/a.png", size=(3, 2))
    write_mask(tmp_path / "masks/deep/a.png", VALUES, mode)
    reader = PairedImageReader()
    (instance,) = reader.read(tmp_path)
    assert (instance.id, instance.label) == ("images/deep/a.png", None)
    mask = reader.load(instance, 0).mask
    assert mask is not None and mask.tolist() == VALUES


def test_a_flip_moves_the_mask_with_the_image(tmp_path: Path):
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    write_mask(tmp_path / "masks" / "a.png", VALUES)
    reader = DatasetReader.from_params(
        {"type": "paired_image", "augmentation": [{"type": "horizontal_flip", "p": 1.0}]}
    )
    sample = reader.load(reader.read(tmp_path)[0], 0)
    assert (sample.image == pixels[:, ::-1]).all()
    assert sample.mask is not None and sample.mask.tolist() == [[1, 0, 0], [1, 1, 2]]


def test_the_images_own_extension_comes_first_then_a_lossless_one(tmp_path: Path, write_image):
    for name in ("a.png", "b.jpg", "c.jpg"):
        write_image(f"images/{name}", size=(3, 2))
    for name in ("a.png", "a.bmp", "b.png", "c.gif"):
        write_mask(tmp_path / "masks" / name, VALUES)
    dataset = PairedImageReader().read(tmp_path)
    assert [Path(str(i.mask)).name for i in dataset] == ["a.png", "b.png", "c.gif"]
    assert dataset.skipped == {"mask without an image": 1}


@pytest.mark.parametrize("extension", [".bmp", "bmp"])
def test_options_name_the_folders_and_the_extension(extension: str, tmp_path: Path, write_image):
    write_image("photos/a.png", size=(3, 2))
    write_mask(tmp_path / "labels/a.bmp", VALUES)
    write_mask(tmp_path / "labels/a.png", VALUES)
    reader = PairedImageReader(image_dir="photos", mask_dir="labels", mask_ext=extension)
    (instance,) = reader.read(tmp_path)
    assert instance.mask == tmp_path / "labels" / "a.bmp"


def test_missing_masks_are_told_all_at_once(tmp_path: Path, write_image):
    for n in range(12):
        write_image(f"images/{n:02d}.jpg")
    write_mask(tmp_path / "masks" / "05.png", VALUES)
    with pytest.raises(DataError) as error:
        PairedImageReader().read(tmp_path)
    assert "11 problems" in str(error.value)
    assert "images/00.jpg: no mask masks/00.jpg or 00.png" in str(error.value)
    assert "... and 1 more" in str(error.value)


def test_a_missing_folder_is_named(tmp_path: Path, write_image):
    write_image("images/a.png")
    with pytest.raises(DataError, match=r"found no .*masks \(image_dir and mask_dir"):
        PairedImageReader().read(tmp_path)


def test_a_mask_is_found_in_the_other_form_and_case(tmp_path: Path, write_image):
    for name in ("caf\u00e9.jpg", "B.JPG", "c.png", "c.PNG"):
        write_image(f"images/{name}", size=(3, 2))
    for name in ("cafe\u0301.PNG", "B.PNG", "c.png", "c.PNG"):
        write_mask(tmp_path / "masks" / name, VALUES)
    dataset = PairedImageReader().read(tmp_path)
    masks = {Path(i.id).name: Path(str(i.mask)).name for i in dataset}
    assert masks == {
        "caf\u00e9.jpg": "cafe\u0301.PNG",
        "B.JPG": "B.PNG",
        "c.png": "c.png",
        "c.PNG": "c.PNG",
    }
    assert dataset.skipped == {}


def test_a_palette_of_pascal_voc_gives_indices_and_void(tmp_path: Path, write_image):
    """Its colors are 3 bits of the index each, black for 0 and cream for 255."""
    write_image("images/a.jpg", size=(3, 2))
    mask = Image.fromarray(np.array([[0, 255, 15], [20, 15, 255]], np.uint8), mode="P")
    colors = [
        sum(((index >> 3 * bit + channel) & 1) << 7 - bit for bit in range(3))
        for index in range(256)
        for channel in range(3)
    ]
    mask.putpalette(colors)
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks" / "a.png")
    assert Image.open(tmp_path / "masks" / "a.png").convert("RGB").getpixel((2, 0)) == (
        192,
        128,
        128,
    )
    reader = PairedImageReader(num_classes=21)
    found = reader.load(reader.read(tmp_path)[0], 0).mask
    assert found is not None and found.tolist() == [[0, 255, 15], [20, 15, 255]]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"num_classes": 2}, "0 to 1, or 255 for pixels without a class .* is 2.*, found 2, 7"),
        ({"num_classes": 7}, "0 to 6, or 255 for pixels without a class .*, found 7"),
        ({"num_classes": 8, "ignore_index": None}, "0 to 7 .*, found 255"),
        ({"num_classes": 8, "ignore_index": 0}, "0 to 7 .*, found 255"),
        ({"num_classes": 8}, None),
        ({}, None),
    ],
)
def test_a_class_beyond_the_last_one_is_an_error_that_names_the_mask(
    options, found, tmp_path: Path, write_image
):
    write_image("images/a.png", size=(3, 2))
    write_mask(tmp_path / "masks" / "a.png", [[0, 1, 7], [2, 255, 7]])
    reader = PairedImageReader(**options)
    instance = reader.read(tmp_path)[0]
    if found is None:
        assert reader.load(instance, 0).mask is not None
    else:
        with pytest.raises(DataError, match=rf"masks.a\.png: expected class indices {found}"):
            reader.load(instance, 0)
