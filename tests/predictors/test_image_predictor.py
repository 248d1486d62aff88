"""Images by path and by pixels: the same answer in every form, and what a request may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.data.image_io import load_image
from allencv_al.models import load_archive
from allencv_al.predictors import Predictor

KEYS = {"logits", "probs", "prediction", "class"}


def test_the_keys_of_a_classifier(predictor: Predictor, files: list[Path]) -> None:
    prediction = predictor.predict(files[0])
    assert set(prediction) == KEYS
    assert list(prediction) == ["logits", "probs", "prediction", "class"]
    assert sum(prediction["probs"]) == pytest.approx(1)
    assert prediction["prediction"] == int(np.argmax(prediction["logits"]))
    assert prediction["class"] == ["Cat", "Dog", "Emu"][prediction["prediction"]]
    assert json.loads(json.dumps(prediction, allow_nan=False)) == prediction


def test_every_form_of_an_image_gives_the_same(predictor: Predictor, files: list[Path]) -> None:
    file = files[0]
    array = load_image(file)
    forms: list[Any] = [
        str(file),
        file,
        file.read_bytes(),
        array,
        Image.open(file),
        {"image_path": str(file)},
        {"image": array.flatten().tolist(), "image_shape": list(array.shape)},
        {"image": array.tolist()},
        {"image": array.astype(float).tolist()},
        predictor.dataset_reader.image_to_instance(file),
    ]
    expected = predictor.predict(forms[0])
    for form in forms:
        assert predictor.predict(form) == expected
    assert predictor.predict_json({"image_path": str(file)}) == expected
    assert predictor.predict_instance(forms[-1]) == expected


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, r"found the keys \[\]"),
        ({"image_path": None}, "found the keys"),
        ({"image_path": ""}, "found image_path ''"),
        ({"image_path": ["a"]}, "found image_path"),
        ({"image_path": "a.png", "image": [1]}, "found both"),
        ({"image": "abc"}, "expected a list of numbers"),
        ({"image": [1, 2, 3]}, "image_shape"),
        ({"image": [1, 2, 3], "image_shape": [1, 1, 3, 1]}, "image_shape"),
        ({"image": [1, 2, 3], "image_shape": [1, 1, 4]}, "is 4 numbers, image has 3"),
        ({"image": [1, 2, 3], "image_shape": [1, True, 3]}, "image_shape"),
        ({"image": [1, 2, 3], "image_shape": [-1, -1, 3]}, "image_shape"),
        ({"image": [1, 2, 3], "image_shape": "1x1"}, "image_shape"),
        ({"image": [1, 2, 256], "image_shape": [1, 1, 3]}, "found 1 to 256"),
        ({"image": [1, 2, -1], "image_shape": [1, 1, 3]}, "found -1 to 2"),
        ({"image": [0.5, 0.5, 0.5], "image_shape": [1, 1, 3]}, "integers from 0 to 255"),
        ({"image": [float("nan")] * 3, "image_shape": [1, 1, 3]}, "integers from 0 to 255"),
        ({"image": [True] * 3, "image_shape": [1, 1, 3]}, "integers from 0 to 255"),
        ({"image": ["1", "2", "3"], "image_shape": [1, 1, 3]}, "integers from 0 to 255"),
        ({"image": [[1, 2], [3]]}, "lists of equal lengths"),
        ({"image": [[[10**400, 1, 1]]]}, "integers from 0 to 255"),
        ({"image": [], "image_shape": [0, 0, 3]}, "image_shape"),
        ({"image": [[]]}, "no pixels"),
        ({"image": [[[1, 2]]]}, "shape"),
    ],
)
def test_a_wrong_request_is_explained(
    predictor: Predictor, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises((DataError, ImageDecodeError), match=message):
        predictor.predict_json(request_)


def test_a_request_over_the_pixel_limit_is_refused(tiny_run: Path) -> None:
    archive = load_archive(tiny_run, overrides={"validation_dataset_reader.max_pixels": 3})
    predictor = Predictor.from_archive(archive)
    with pytest.raises((DataError, ImageDecodeError), match="2x2 is over 3 pixels"):
        predictor.predict({"image": [[0, 0], [0, 0]]})
