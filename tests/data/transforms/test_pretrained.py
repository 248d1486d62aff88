from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.instance import Sample
from allencv_al.data.transforms.base import ImageTransform
from allencv_al.data.transforms.pretrained import PretrainedPreprocessing
from allencv_al.data.transforms.transform_pipeline import TransformPipeline, order_problem

NUMBERS = {"height": 20, "width": 20, "resize": 30, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}
IN_A_ROW = [
    {"type": "smallest_max_size", "max_size": 30, "interpolation": "smooth"},
    {"type": "center_crop", "height": 20, "width": 20},
    {"type": "normalize", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]},
]


def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


def pretrained() -> PretrainedPreprocessing:
    return PretrainedPreprocessing(**NUMBERS)  # type: ignore[arg-type]


def test_it_is_its_three_steps_in_a_row() -> None:
    sample = Sample(image())
    generator = np.random.default_rng(0)
    for config in IN_A_ROW:
        sample = ImageTransform.from_params(config).apply(sample, generator)
    assert np.array_equal(pretrained()(image()), sample.image)
    assert pretrained().output_size(None, None) == (20, 20)


def test_a_pipeline_keeps_images_in_bytes_and_leaves_the_normalization_to_the_batch() -> None:
    pipeline = TransformPipeline([pretrained(), ImageTransform.from_params("horizontal_flip")])
    found = pipeline.apply(Sample(image()), seed=0).image
    assert (found.dtype, found.shape) == (np.uint8, (20, 20, 3))
    assert pipeline.deferred is not None
    assert pipeline.deferred.mean == (0.5, 0.4, 0.3)


def test_photographs_are_decoded_at_a_part_of_their_size() -> None:
    assert TransformPipeline([pretrained()]).scales_to == 30


def test_a_reader_takes_it_as_the_row() -> None:
    one = DatasetReader.from_params(
        {"type": "manifest", "augmentation": [{"type": "pretrained", **NUMBERS}]}
    )
    row = DatasetReader.from_params({"type": "manifest", "augmentation": IN_A_ROW})
    assert one.image_shape() == row.image_shape() == (3, 20, 20)
    assert [type(step) for step in one.pipeline.transforms] == [
        type(step) for step in row.pipeline.transforms
    ]


def test_nothing_may_normalize_twice() -> None:
    normalize = ImageTransform.from_params("normalize")
    assert order_problem([normalize, pretrained()]) is not None
    assert order_problem([pretrained(), normalize]) is not None


def test_without_numbers_it_says_which_and_how_to_get_them() -> None:
    with pytest.raises(ConfigurationError, match=r"needs mean, std: no pretrained network"):
        PretrainedPreprocessing(height=20, width=20)
    with pytest.raises(
        ConfigurationError, match=r'model: "timm:nope" is no known.* expected timm:NAME'
    ):
        PretrainedPreprocessing("timm:nope")


def test_a_crop_larger_than_the_scaled_image_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="resize: expected at least 20"):
        PretrainedPreprocessing(**{**NUMBERS, "resize": 19})  # type: ignore[arg-type]
