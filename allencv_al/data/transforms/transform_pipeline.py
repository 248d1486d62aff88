"""The transforms of a reader, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.data.instance import Sample
from allencv_al.data.transforms.base import ImageTransform, Normalization, Size


class TransformPipeline:
    """Apply transforms one after the other, as listed.

    A `normalize` that is last, or followed only by transforms that move pixels and mix none (flips,
    crops), is not applied to each image: images stay uint8, a quarter of the memory, and
    `deferred` does it for a whole batch where the batch is used. The result is the same.

    Args:
        transforms: The transforms, in order.

    Raises:
        ConfigurationError: A transform cannot work where it stands.
    """

    def __init__(self, transforms: Sequence[ImageTransform] = ()) -> None:
        problem = order_problem(transforms)
        if problem is not None:
            raise ConfigurationError(f"transform {problem[0]}: {problem[1]}")
        self.transforms = tuple(step for transform in transforms for step in transform.steps)
        self.deferred: Normalization | None = None
        self._per_item = self.transforms
        # At most one
        for index in _deferrable(self.transforms):
            self.deferred = self.transforms[index].as_normalization()
            self._per_item = self.transforms[:index] + self.transforms[index + 1 :]

    def apply(self, sample: Sample, seed: int) -> Sample:
        """Transform one sample, all but the deferred part.

        Args:
            sample: The image and its labels; its arrays are not changed.
            seed: The only source of randomness: the same seed gives the same result in every
                process, independent of earlier calls.

        Raises:
            DataError: A transform returned something else than a sample with an image.
        """
        # One generator for all: a transform added at the end changes no draw before it
        generator = np.random.default_rng(seed)
        for transform in self._per_item:
            sample = transform.apply(sample, generator)
            if not (isinstance(sample, Sample) and _is_image(sample.image)):
                raise DataError(f"{type(transform).__name__}.apply: {_wrong_result(sample)}")
        return sample

    @property
    def scales_to(self) -> int | None:
        """The size to which the first transform scales; see `ImageTransform.scales_to`."""
        return self.transforms[0].scales_to if self.transforms else None

    def output_size(self, height: int | None, width: int | None) -> Size:
        """Return the height and width that come out, None where images differ.

        Args:
            height: The height that goes in; None where it is not known.
            width: The width that goes in; None where it is not known.

        Raises:
            ConfigurationError: One of the transforms cannot take what comes to it.
        """
        for transform in self.transforms:
            size = transform.output_size(height, width)
            if not isinstance(size, tuple) or len(size) != 2:
                raise wrong_result(transform, "output_size", "(height, width)", size)
            height, width = size
        return height, width


def _is_image(image: Any) -> bool:
    return (
        isinstance(image, np.ndarray)
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size > 0
        and image.dtype in (np.uint8, np.float32)
    )


def _wrong_result(result: Any) -> str:
    if not isinstance(result, Sample):
        return f"expected it to return a Sample, found {type(result).__name__}"
    image = result.image
    found = (
        f"{image.dtype} of shape {list(image.shape)}"
        if isinstance(image, np.ndarray)
        else type(image).__name__
    )
    return f"expected an image that is a uint8 or float32 array [H, W, 3], found {found}"


def order_problem(transforms: Sequence[ImageTransform]) -> tuple[int, str] | None:
    """Return the position of the first transform that cannot work there, and why; None if all can.

    Args:
        transforms: The transforms, in order.
    """
    normalized = False
    for index, transform in enumerate(transforms):
        normalizes = transform.as_normalization() is not None
        if normalized and (normalizes or transform.needs_raw_pixels):
            return index, (
                f"{type(transform).__name__} works on brightness 0..255, but the image is "
                "normalized by then: put it before the normalization"
            )
        normalized = normalized or normalizes
    return None


def _deferrable(transforms: Sequence[ImageTransform]) -> list[int]:
    """Return the position of the normalization that can wait for the batch, if there is one."""
    # From the end: what comes behind the normalization must commute with it
    for index in reversed(range(len(transforms))):
        if transforms[index].as_normalization() is not None:
            return [index]
        if not transforms[index].only_moves_pixels:
            break
    return []
