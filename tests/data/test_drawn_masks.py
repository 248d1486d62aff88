"""Masks drawn from regions, against pycocotools and Pillow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.drawn_masks import DrawnMask, Region, filled, layers_of, turned
from allencv_al.data.image_io import load_mask, source_name
from allencv_al.data.run_lengths import coco_counts

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools

EXIF_ORIENTATION = 274
NUMBERS = st.one_of(st.integers(-4, 44), st.floats(-5, 45), st.sampled_from([0.5, 10.5, 20.25]))


@given(
    st.lists(NUMBERS, min_size=6, max_size=16).filter(lambda values: len(values) % 2 == 0),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_polygons_fill_the_pixels_that_pycocotools_fills(polygon: list, size: tuple) -> None:
    coded = coco_mask.frPyObjects([[float(value) for value in polygon]], size[1], size[0])
    assert (filled(polygon, size) == coco_mask.decode(coded)[:, :, 0]).all()


def test_a_region_is_the_inside_of_any_of_its_polygons() -> None:
    squares = ((1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0), (3.0, 3.0, 6.0, 3.0, 6.0, 6.0, 3.0, 6.0))
    region = Region(squares)
    merged = coco_mask.merge(coco_mask.frPyObjects([list(one) for one in squares], 8, 9))
    assert (region.pixels((9, 8)) == coco_mask.decode(merged)).all()
    assert region.bounds((9, 8)) == (1, 1, 6, 6)
    same = Region.of_mask(region.pixels((9, 8)))
    assert same.bounds((9, 8)) == (1, 1, 6, 6)
    assert Region().bounds((9, 8)) is None
    assert Region.of_mask(np.zeros((8, 9), bool)).bounds((9, 8)) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_pixels_are_turned_as_pillow_turns_an_image(orientation: int) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(stored)
    image.getexif()[EXIF_ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert (turned(stored, orientation) == upright).all()
    drawn = DrawnMask("a.json", (4, 3), layers_of(stored), orientation)
    assert (load_mask(drawn) == upright).all()


def test_the_upper_layer_covers_the_lower_one_and_the_rest_is_0() -> None:
    square = (0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0)
    wide = (0.0, 0.0, 3.0, 0.0, 3.0, 1.0, 0.0, 1.0)
    mask = DrawnMask("a", (4, 3), ((2, Region((square,))), (255, Region((wide,)))))
    assert load_mask(mask).tolist() == [[255, 255, 255, 0], [2, 2, 0, 0], [0, 0, 0, 0]]
    assert pickle.loads(pickle.dumps(mask)) == mask


def test_counts_of_another_size_name_the_file() -> None:
    mask = DrawnMask("a.json", (4, 3), ((1, Region(counts=coco_counts(np.ones((3, 3), bool)))),))
    assert source_name(mask) == "a.json"
    with pytest.raises(ImageDecodeError, match=r"a\.json.*runs of 12 pixels"):
        load_mask(mask)
