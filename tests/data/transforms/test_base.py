"""Transforms that users write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.common.config import registrable
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform, TransformPipeline


@pytest.fixture
def _forget_registrations() -> Iterator[None]:
    registry = registrable._registries.setdefault(ImageTransform, {})
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


def pipeline(*configs: dict[str, Any] | str) -> TransformPipeline:
    return TransformPipeline([ImageTransform.from_params(config) for config in configs])


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.usefixtures("_forget_registrations")
def test_a_transform_of_ones_own_needs_apply_and_nothing_else() -> None:
    @ImageTransform.register("invert")
    class Invert(ImageTransform):
        def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
            sample.image = 255 - sample.image  # type: ignore[assignment]
            return sample

    pipe = pipeline({"type": "resize", "height": 10, "width": 12}, "invert", "normalize")
    assert pipe.deferred is not None
    assert pipe.output_size(10, 10) == (None, None)  # it has not said what it does to the size
    plain = pipeline({"type": "resize", "height": 10, "width": 12})
    inverted = pipe.apply(Sample(picture()), 0).image
    assert np.array_equal(inverted, 255 - plain.apply(Sample(picture()), 0).image)
    assert np.array_equal(ImageTransform.by_name("invert")()(picture()), 255 - picture())


@pytest.mark.usefixtures("_forget_registrations")
def test_a_transform_of_ones_own_can_have_arguments_and_chance() -> None:
    @ImageTransform.register("salt")
    class Salt(ImageTransform):
        """Set some pixels to white.

        Args:
            share: How many.
        """

        only_moves_pixels = False

        def __init__(self, share: float = 0.1) -> None:
            self.share = share

        def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
            white = generator.random(sample.image.shape[:2]) < self.share
            sample.image = np.where(white[:, :, None], np.uint8(255), sample.image)
            return sample

        def output_size(
            self, height: int | None, width: int | None
        ) -> tuple[int | None, int | None]:
            return height, width

    pipe = pipeline({"type": "salt", "share": 0.5}, "flip")
    assert pipe.output_size(4, 5) == (4, 5)
    assert np.array_equal(
        pipe.apply(Sample(picture()), 3).image, pipe.apply(Sample(picture()), 3).image
    )
    with pytest.raises(ConfigurationError, match="shar: unknown key"):
        pipeline({"type": "salt", "shar": 0.5})


def test_a_transform_that_returns_no_sample_is_named() -> None:
    class Forgetful(ImageTransform):
        def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
            return None  # type: ignore[return-value]

    with pytest.raises(DataError, match=r"Forgetful\.apply: expected .* Sample, found NoneType"):
        TransformPipeline([Forgetful()]).apply(Sample(picture()), 0)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda image: image / 255, r"float64 of shape \[40, 50, 3\]"),
        (lambda image: image.transpose(2, 0, 1), r"uint8 of shape \[3, 40, 50\]"),
        (lambda image: image[:, :, 0], r"uint8 of shape \[40, 50\]"),
        (lambda image: image[:0], r"uint8 of shape \[0, 50, 3\]"),
        (torch.from_numpy, "Tensor"),
    ],
)
def test_a_transform_that_returns_no_picture_is_named(change: Any, found: str) -> None:
    class Own(ImageTransform):
        def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
            sample.image = change(sample.image)
            return sample

    with pytest.raises(DataError, match=rf"Own\.apply: expected an image .* found {found}$"):
        TransformPipeline([Own()]).apply(Sample(picture()), 0)
