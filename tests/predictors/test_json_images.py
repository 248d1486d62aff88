"""Images in JSON requests; `test_image_predictor` has the forms that a predictor takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allencv_al.common.errors import DataError
from allencv_al.predictors.json_images import image_of_request


def test_numbers_become_an_image() -> None:
    found = image_of_request({"image": [1, 2, 3, 4, 5, 6], "image_shape": [1, 2, 3]}, 10)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert found.dtype == np.uint8


def test_a_path_stays_a_path() -> None:
    assert image_of_request({"image_path": "a.jpg"}, 10) == Path("a.jpg")


def test_an_image_over_the_limit_is_refused() -> None:
    with pytest.raises(DataError, match="4x3 is over 10 pixels"):
        image_of_request({"image": [0] * 12, "image_shape": [3, 4]}, 10)
