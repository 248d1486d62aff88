"""`ExportPreprocessing`: the transforms of a reader as a torch module that can be exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.transforms.albumentations_adapter import interpolation_number
from allencv_al.data.transforms.base import ImageTransform, Normalization
from allencv_al.data.transforms.cropping import CenterCrop
from allencv_al.data.transforms.resizing import Resize, SmallestMaxSize

_UNIT = 1 / 255
_NEAREST, _LINEAR, _CUBIC, _AREA = range(4)  # OpenCV's numbers
_CUBIC_PARAMETER = -0.75  # OpenCV's


class ExportPreprocessing(torch.nn.Module):
    """Scale, crop and normalize a batch of images as a reader does one by one.

    Images may have any size. Scaling is a product with a matrix for each side, whose entries follow
    from the length of the side by OpenCV's rules. The operators of export formats that scale images
    follow other rules, and would give other pixels.

    Args:
        reader: The dataset reader that decodes and transforms images for the model.

    Raises:
        ConfigurationError: A transform has no such form; all of them are named.
    """

    def __init__(self, reader: DatasetReader) -> None:
        super().__init__()
        steps = reader.pipeline.transforms
        _, height, width = reader.image_shape()
        problems = [*_problems(steps, height, width)]
        if problems:
            raise ConfigurationError(
                f"dataset_reader.augmentation: cannot be exported: {'; '.join(problems)}"
            )
        scales = [step for step in steps if isinstance(step, Resize | SmallestMaxSize)]
        self._scaling = scales[0] if scales else None
        normalizations = (step.as_normalization() for step in steps)
        self._normalization = next(filter(None, normalizations), None)
        # Without scaling or a crop, images must have the size of the model already
        fixed = height is not None and width is not None and bool(scales or _crops(steps))
        self._size: tuple[int, int] | None = (height, width) if fixed else None  # type: ignore[assignment]

    def forward(self, image: Tensor) -> Tensor:
        """Return the input of the model, float32 `[B, 3, h, w]`.

        Args:
            image: uint8 `[B, H, W, 3]`, RGB.
        """
        values = image.permute(0, 3, 1, 2).float()
        if self._size is not None:
            values = self._resized(values)
        if self._normalization is None:
            return values * _UNIT
        return _normalized(values, self._normalization)

    def _resized(self, values: Tensor) -> Tensor:
        assert self._size is not None
        positions = [torch.arange(n, dtype=torch.float64) for n in values.shape[2:]]
        sides = [numbers[-1] + 1 for numbers in positions]
        scaled = self._scaled(*sides)
        grows = (scaled[0] > sides[0]) | (scaled[1] > sides[1])
        rows, columns = (
            self._matrix(positions[axis], sides[axis], scaled[axis], count, grows)
            for axis, count in enumerate(self._size)
        )
        # OpenCV writes whole numbers, too
        return (rows @ values @ columns.T + 0.5).floor().clamp(0, 255)

    def _scaled(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sides before the crop."""
        scaling = self._scaling
        if scaling is None:
            return height, width
        if isinstance(scaling, Resize):
            return torch.full_like(height, scaling.height), torch.full_like(width, scaling.width)
        scale = scaling.max_size / torch.minimum(height, width)
        # Of two equally near numbers the even one, as Python's round takes it
        return (height * scale).round().clamp(min=1), (width * scale).round().clamp(min=1)

    def _matrix(
        self, positions: Tensor, side: Tensor, scaled: Tensor, count: int, grows: Tensor
    ) -> Tensor:
        """Return the weight of each pixel of a side for each of those that come out."""
        first = torch.floor((scaled - count) / 2)  # the crop is in the middle
        outs = torch.arange(count, dtype=torch.float64) + first
        if self._scaling is None:
            return (outs[:, None] == positions).float()
        scale = side / scaled
        interpolation = self._scaling.interpolation
        if interpolation != "smooth":
            number = interpolation_number(interpolation)
            return axis_weights(positions, outs, scale, number).float()
        shrunk = axis_weights(positions, outs, scale, _AREA)
        grown = axis_weights(positions, outs, scale, _LINEAR)
        return torch.where(grows, grown, shrunk).float()


def axis_weights(positions: Tensor, outs: Tensor, scale: Tensor, interpolation: int) -> Tensor:
    """Return the weights with which OpenCV scales one side of an image, float64 `[n, L]`.

    Args:
        positions: The numbers of the pixels of the side, 0 to L - 1, float64 `[L]`.
        outs: The numbers of the pixels that come out, float64 `[n]`.
        scale: Pixels of the side for one that comes out, float64.
        interpolation: OpenCV's number: 0 nearest, 1 linear, 2 cubic, 3 area (when it shrinks).
    """
    last = positions[-1]
    if interpolation == _AREA:
        # The share of each pixel in the interval that the new one covers
        starts = (outs * scale)[:, None]
        ends = starts + scale
        overlap = torch.minimum(ends, positions + 1) - torch.maximum(starts, positions)
        return overlap.clamp(min=0) / scale
    if interpolation == _NEAREST:
        nearest = torch.floor(outs * scale).clamp(max=last)
        return (nearest[:, None] == positions).double()
    centers = (outs + 0.5) * scale - 0.5
    lower = torch.floor(centers)
    fraction = (centers - lower)[:, None]
    weights = torch.zeros(1, dtype=torch.float64)
    for offset in (0, 1) if interpolation == _LINEAR else (-1, 0, 1, 2):
        # Beyond the border, its pixel is repeated
        taken = torch.minimum((lower + offset).clamp(min=0), last)[:, None] == positions
        distance = (fraction - offset).abs()
        weights = weights + taken * (1 - distance if interpolation == _LINEAR else _cubic(distance))
    return weights


def _cubic(distance: Tensor) -> Tensor:
    """Return the kernel of cubic convolution (Keys 1981, IEEE ASSP 29) at distances up to 2."""
    a = _CUBIC_PARAMETER
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, far)


def _normalized(values: Tensor, normalization: Normalization) -> Tensor:
    if normalization.reverse_channels:
        values = values.flip(1)
    white = normalization.max_pixel_value
    mean, std = (
        torch.tensor(row).reshape(1, 3, 1, 1) * white
        for row in (normalization.mean, normalization.std)
    )
    return (values - mean) / std


def _crops(steps: Sequence[ImageTransform]) -> list[CenterCrop]:
    return [step for step in steps if isinstance(step, CenterCrop)]


def _problems(
    steps: Sequence[ImageTransform], height: int | None, width: int | None
) -> Iterator[str]:
    order = []
    for step in steps:
        name = type(step).__name__
        if step.is_random or getattr(step, "p", 1) != 1:
            yield f"{name} changes images by chance"
        elif isinstance(step, Resize | SmallestMaxSize):
            order.append(0)
            if step.interpolation in ("lanczos", 4):
                yield f"{name} with the interpolation lanczos"
        elif isinstance(step, CenterCrop) and not step.pad_if_needed:
            order.append(1)
        elif step.as_normalization() is not None:
            order.append(2)
        else:
            yield f"{name}"
    if order != sorted(set(order)):
        yield "expected at most one resize, center_crop and normalize each, in this order"
    if (0 in order or 1 in order) and (height is None or width is None):
        yield "images come out in different sizes; put center_crop behind"
