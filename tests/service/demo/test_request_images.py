"""What JSON may hold: images as numbers or data URLs, and paths in one folder only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.models import load_archive
from allencv_al.predictors import Predictor
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.service.demo.image_sources import ImageRoot
from allencv_al.service.demo.request_images import RequestInputs


@pytest.fixture
def predictor(tiny_run: Path) -> Predictor:
    return Predictor.from_archive(load_archive(tiny_run))


@pytest.fixture
def inputs(predictor: Predictor) -> RequestInputs:
    return RequestInputs(predictor)


def url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_numbers_go_to_the_predictor_as_they_are(inputs: RequestInputs) -> None:
    seed_form = {"image": [0] * 12, "image_shape": [2, 2, 3]}
    assert inputs.of_json(seed_form) == seed_form


def test_data_urls_stand_alone_or_in_an_object(inputs: RequestInputs) -> None:
    assert inputs.of_json(url(b"content")) == b"content"
    assert inputs.of_json({"image": url(b"content")}) == b"content"
    assert inputs.of_json(f" {url(b'content')}\n") == b"content"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "found no image"),
        ({"image": None}, "found no image"),
        ({"image": 3}, "image"),
        ({"image": [1], "shape": [1]}, "shape: extra inputs are not permitted"),
        ({"image": [1], "image_shape": ["a"]}, "image_shape.0: input should be a valid integer"),
        ({"image": [1], "image_path": "x"}, "found both"),
        ({"image": "cat.jpg"}, "expected a data URL"),
        ({"image": "\ud800"}, "expected a data URL"),
        ("cat.jpg", "expected a data URL"),
        ([], "expected an object with image, found a list"),
        (3, "found a number"),
        (None, "found null"),
        (True, "found a truth value"),
    ],
)
def test_what_is_no_image_says_what_would_be(
    inputs: RequestInputs, value: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        inputs.of_json(value)


def test_a_hostile_key_is_not_repeated_at_length(inputs: RequestInputs) -> None:
    with pytest.raises(DataError) as refused:
        inputs.of_json({"x" * 10_000: 1})
    assert len(str(refused.value)) < 200


def test_a_path_is_refused_and_the_answer_says_what_to_do(inputs: RequestInputs) -> None:
    with pytest.raises(DataError, match=r"opens no files: send the image itself.*--image-root DIR"):
        inputs.of_json({"image_path": "/etc/passwd"})


def test_a_path_below_the_root_is_read(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"content")
    inputs = RequestInputs(predictor, ImageRoot(tmp_path / "images", 100))
    assert inputs.of_json({"image_path": "a.png"}) == b"content"
    with pytest.raises(DataError, match="no such image"):
        inputs.of_json({"image_path": "../secret"})


def test_in_a_list_an_error_stands_in_its_place(inputs: RequestInputs) -> None:
    found = inputs.of_json_list([url(b"a"), {"image_path": "x"}, url(b"b"), 4])
    assert found[0::2] == [b"a", b"b"]
    assert [type(item) for item in found[1::2]] == [DataError, DataError]


def test_a_predictor_of_ones_own_gets_its_own_json_but_no_path(
    predictor: Predictor, tmp_path: Path
) -> None:
    class OwnPredictor(ImagePredictor):
        def _json_to_instance(self, request: Mapping[str, Any]) -> Instance:
            return self.dataset_reader.image_to_instance(request["photo"])

    own = OwnPredictor(predictor.model, predictor.dataset_reader)
    inputs = RequestInputs(own)
    assert inputs.of_json({"photo": [1, 2]}) == {"photo": [1, 2]}
    for path in ("/etc/passwd", 3):
        with pytest.raises(DataError, match="opens no files"):
            inputs.of_json({"photo": 1, "image_path": path})
    (tmp_path / "a.png").write_bytes(b"content")
    rooted = RequestInputs(own, ImageRoot(tmp_path, 100))
    assert rooted.of_json({"image_path": "a.png"}) == b"content"
    with pytest.raises(DataError, match="image_path: expected a text, found a number"):
        rooted.of_json({"image_path": 3})
