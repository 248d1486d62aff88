"""Codes of runs, against pycocotools and against bytes that Label Studio's own package wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from allencv_al.data.run_lengths import (
    brush_runs,
    coco_counts,
    mask_of_brush,
    mask_of_counts,
    pixels_of,
    runs_of,
)

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))

SMALL = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [1, 0, 0, 0, 0]], dtype=bool)
# encode_rle of label_studio_sdk 2.1.2 for SMALL
SMALL_CODE = [0, 0, 0, 60, 57, 27, 254, 23, 0, 183, 255, 24, 4, 127, 247, 192, 0]


@given(MASKS)
def test_counts_are_those_of_pycocotools(mask: np.ndarray) -> None:
    expected = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert coco_counts(mask) == expected
    size = (mask.shape[1], mask.shape[0])
    assert (mask_of_counts(expected, size) == mask).all()
    assert (mask_of_counts(runs_of(mask.ravel(order="F")), size) == mask).all()


@given(MASKS)
def test_brushes_come_back(mask: np.ndarray) -> None:
    assert (mask_of_brush(brush_runs(mask), (mask.shape[1], mask.shape[0])) == mask).all()


def test_brushes_are_those_of_label_studio() -> None:
    assert brush_runs(SMALL) == SMALL_CODE
    assert (mask_of_brush(SMALL_CODE, (5, 3)) == SMALL).all()


def test_a_run_may_be_longer_than_a_length_can_be_and_values_may_stand_one_by_one() -> None:
    mask = np.zeros((300, 400), dtype=bool)
    mask[10:290, 5:] = True
    assert (mask_of_brush(brush_runs(mask), (400, 300)) == mask).all()
    # 4 values of 8 bits, lengths of 3, 4, 8, 16 bits; no run, length 4: opacity 200 and 100
    for opacity, expected in ((200, True), (100, False)):
        bits = f"{4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "00" + f"{3:03b}"
        bits += "".join(f"{value:08b}" for value in (1, 2, 3, opacity))
        bits += "0" * (-len(bits) % 8)
        code = list(int(bits, 2).to_bytes(len(bits) // 8, "big"))
        assert mask_of_brush(code, (1, 1)).tolist() == [[expected]]


@pytest.mark.parametrize("code", [[], [0, 0, 0, 60], SMALL_CODE[:-4], [255] * 17, [0, 0, 0, 300]])
def test_what_is_no_brush_is_refused(code: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected the rle of|bytes must be in range"):
        mask_of_brush(code, (5, 3))


def test_runs_and_counts_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the rle of 6x3 pixels, found 15 pixels"):
        mask_of_brush(SMALL_CODE, (6, 3))
    for runs in ([3, 4], [3, 20, -8]):
        with pytest.raises(ValueError, match="runs of 15 pixels together"):
            pixels_of(runs, 15)
    for text in ("é", coco_counts(SMALL)[:-1] + "\x7f", "o"):
        with pytest.raises(ValueError, match=r"compressed counts of COCO|runs of 15"):
            mask_of_counts(text, (5, 3))
