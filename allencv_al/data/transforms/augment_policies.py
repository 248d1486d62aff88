"""Augmentation policies that need no tuning: RandAugment and TrivialAugment.

Their operations, ranges and chances are those of `torchvision.transforms.v2`, on Pillow images;
masks, boxes and keypoints, which torchvision refuses there, move with the image.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray
from overrides import overrides
from PIL import Image as PillowImage
from PIL import ImageEnhance, ImageOps

from allencv_al.data.instance import Sample
from allencv_al.data.transforms.base import ChanceTransform, ImageTransform, Share
from allencv_al.data.transforms.moving_labels import (
    boxes_through_matrix,
    place_boxes,
    place_points,
)

Resampling = Literal["nearest", "linear", "cubic"]
_RESAMPLING = {
    "nearest": PillowImage.Resampling.NEAREST,
    "linear": PillowImage.Resampling.BILINEAR,
    "cubic": PillowImage.Resampling.BICUBIC,
}
_BINS = 31  # strengths from none to the most: 0..30

# Color operations on an RGB image, by a strength
_COLORS: Mapping[str, Callable[[PillowImage.Image, float], PillowImage.Image]] = {
    "identity": lambda image, _: image,
    "auto_contrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "brightness": lambda image, by: ImageEnhance.Brightness(image).enhance(1 + by),
    "color": lambda image, by: ImageEnhance.Color(image).enhance(1 + by),
    "contrast": lambda image, by: ImageEnhance.Contrast(image).enhance(1 + by),
    "sharpness": lambda image, by: ImageEnhance.Sharpness(image).enhance(1 + by),
    "posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "solarize": lambda image, share: image.point(lambda v: v if v < 255 * share else 255 - v),
}
_MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OPERATIONS = (*_COLORS, *_MOVES)
_ENHANCING = ("brightness", "color", "contrast", "sharpness")
_SIGNED = (*_ENHANCING, *_MOVES)


def apply_operation(
    name: str, strength: float, sample: Sample, interpolation: Resampling = "nearest"
) -> Sample:
    """Return a sample after one operation.

    Args:
        name: One of `OPERATIONS`.
        strength: Pixels of a translation, degrees of a rotation, bits that posterizing keeps, the
            share of white above which solarizing inverts, else a change of the factor 1.
        sample: A sample with a uint8 image.
        interpolation: Interpolation of the image's pixels; masks take the nearest.
    """
    image = PillowImage.fromarray(np.asarray(sample.image, np.uint8))
    if name in _COLORS:
        return dataclasses.replace(sample, image=np.array(_COLORS[name](image, strength)))
    inverse = _inverse(name, strength, image.size)

    def warped(picture: PillowImage.Image, resampling: PillowImage.Resampling) -> NDArray[Any]:
        method = PillowImage.Transform.AFFINE
        return np.array(picture.transform(image.size, method, inverse.ravel().tolist(), resampling))

    after = dataclasses.replace(sample, image=warped(image, _RESAMPLING[interpolation]))
    if sample.mask is not None:
        mask = PillowImage.fromarray(sample.mask)
        after.mask = warped(mask, PillowImage.Resampling.NEAREST)
    # Pillow's matrix takes places in the result to those before, from the corner of the image
    forward = np.linalg.inv(inverse[:, :2])
    matrix = np.column_stack([forward, forward @ (0.5 - inverse[:, 2]) - 0.5])
    if sample.boxes is not None and len(sample.boxes):
        place_boxes(boxes_through_matrix(sample.boxes, matrix, after), sample, after)
    place_points(lambda places: places @ matrix[:, :2].T + matrix[:, 2], after)
    return after


def _inverse(name: str, strength: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the 2x3 matrix from places in the result to those before."""
    if name.startswith("shear"):
        x, y = (strength, 0) if name == "shear_x" else (0, strength)
        return np.array([[1, x, 0], [y, 1, 0]], np.float64)
    if name.startswith("translate"):
        x, y = (int(strength), 0) if name == "translate_x" else (0, int(strength))
        return np.array([[1, 0, -x], [0, 1, -y]], np.float64)
    angle = np.deg2rad(strength)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array(size) / 2
    return np.column_stack([turn, middle - turn @ middle])


class _Policy(ChanceTransform):
    """Apply random operations from one list.

    Args:
        interpolation: Interpolation of pixels (masks: always nearest).
        p: Probability of being applied, 0..1.
        always_apply: Fire always, whatever `p` says.
    """

    needs_raw_pixels = True
    moves_labels: ClassVar[bool] = True

    def __init__(
        self, interpolation: Resampling = "nearest", p: Share = 1.0, always_apply: bool = False
    ) -> None:
        super().__init__(p, always_apply)
        self.interpolation: Resampling = interpolation

    @abstractmethod
    def most(self, name: str, height: int, width: int) -> float:
        """Return the greatest strength of an operation."""

    def one(self, sample: Sample, level: float, generator: np.random.Generator) -> Sample:
        """Apply one random operation at a share of its greatest strength."""
        name = OPERATIONS[generator.integers(len(OPERATIONS))]
        strength = self.strength(name, level, *sample.image.shape[:2])
        if name in _SIGNED and generator.random() <= 0.5:
            strength = -strength
        return apply_operation(name, strength, sample, self.interpolation)

    def strength(self, name: str, level: float, height: int, width: int) -> float:
        """Return the strength of an operation.

        Args:
            name: One of `OPERATIONS`.
            level: Share of the greatest strength, 0..1.
            height: Height of the image.
            width: Width of the image.
        """
        most = self.most(name, height, width)
        if name == "posterize":
            return 8 - round(level * most)
        return 1 - level if name == "solarize" else level * most


@ImageTransform.register("rand_augment")
class RandAugment(_Policy):
    """Apply a few random operations on colors and shape at one strength.

    Cubuk et al. 2020, "RandAugment: Practical automated data augmentation with a reduced search
    space" (arXiv:1909.13719), with the operations of torchvision.

    Args:
        num_ops: Number of operations, one after the other.
        magnitude: Strength of each, 0..30.
        interpolation: Interpolation of pixels (masks: always nearest).
        p: Probability of being applied, 0..1.
        always_apply: Fire always, whatever `p` says.
    """

    def __init__(
        self,
        num_ops: Annotated[int, Ge(0)] = 2,
        magnitude: Annotated[int, Interval(ge=0, le=_BINS - 1)] = 9,
        interpolation: Resampling = "nearest",
        p: Share = 1.0,
        always_apply: bool = False,
    ) -> None:
        super().__init__(interpolation, p, always_apply)
        self.num_ops = num_ops
        self.magnitude = magnitude

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        for _ in range(self.num_ops):
            sample = self.one(sample, self.magnitude / (_BINS - 1), generator)
        return sample

    @overrides
    def most(self, name: str, height: int, width: int) -> float:
        if name in _ENHANCING:
            return 0.9
        shift = 150 / 331  # of AutoAugment's images of 331 pixels
        sides = {"translate_x": shift * width, "translate_y": shift * height}
        return {"shear_x": 0.3, "shear_y": 0.3, "rotate": 30, "posterize": 4, **sides}.get(name, 0)


@ImageTransform.register("trivial_augment")
class TrivialAugment(_Policy):
    """Apply one random operation on colors or shape at a random strength.

    Mueller and Hutter 2021, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation"
    (arXiv:2103.10158), with the wide ranges of the paper and the operations of torchvision.

    Args:
        interpolation: Interpolation of pixels (masks: always nearest).
        p: Probability of being applied, 0..1.
        always_apply: Fire always, whatever `p` says.
    """

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        return self.one(sample, generator.integers(_BINS) / (_BINS - 1), generator)

    @overrides
    def most(self, name: str, height: int, width: int) -> float:
        fixed = {"translate_x": 32, "translate_y": 32, "rotate": 135, "posterize": 6}
        return fixed.get(name, 0.99)
