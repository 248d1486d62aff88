"""Transforms that bend the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.sample import Sample
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Border,
    FillValue,
    Interpolation,
    border_arguments,
    interpolation_number,
)
from allencv_al.data.transforms.base import ImageTransform
from allencv_al.data.transforms.checks import (
    as_symmetric_range,
    check_not_negative,
    check_positive,
)


@ImageTransform.register("elastic_transform")
class ElasticTransform(AlbumentationsTransform):
    """Bend the picture by a smooth random field, after a random affine map; the size stays.

    Simard et al. 2003, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis".

    Args:
        alpha: Strength of the field: noise evenly from -alpha to alpha pixels is smoothed. With
            `sigma` 50, what is left moves pixels visibly from some thousands on.
        sigma: Standard deviation of the Gaussian that smooths the field, in pixels.
        alpha_affine: How far, at most, each of three points of the picture is moved along each axis
            to get the affine map, in pixels. The default is large for small pictures.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number.
        border_mode: What shows where the picture does not reach: `constant` (`value`), `replicate`
            (the edge), `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant border, one number or one per channel.
        mask_value: Class index of a constant border in masks.
        approximate: Smooth with a fixed kernel of 17 pixels: faster where `sigma` is large.
        p: How often it fires, 0..1.
    """

    library_class = "ElasticTransform"

    def __init__(
        self,
        alpha: float = 1.0,
        sigma: float = 50.0,
        alpha_affine: float = 50.0,
        interpolation: Interpolation = "linear",
        border_mode: Border = "reflect_101",
        value: FillValue = None,
        mask_value: int | None = None,
        approximate: bool = False,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_not_negative(alpha=alpha, alpha_affine=alpha_affine)
        check_positive(sigma=sigma)
        self.alpha = alpha
        self.sigma = sigma
        self.alpha_affine = alpha_affine
        self.interpolation = interpolation
        self.approximate = approximate
        self._border = border_arguments(border_mode, value, mask_value)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "sigma": self.sigma,
            "interpolation": interpolation_number(self.interpolation),
            "approximate": self.approximate,
            "noise_distribution": "uniform",
            **self._border,
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Put the affine map, which the library gave up after 2019, before the field.

        Both are "where does this pixel come from" maps, so one after the other is one map, and
        the picture is interpolated once.
        """
        params = super().draw(transform, sample)
        if self.alpha_affine == 0:
            return params
        height, width = sample.image.shape[:2]
        middle = np.array([width, height], dtype=np.float64) / 2
        reach = min(height, width) / 3
        before = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
        limit = self.alpha_affine
        after = before + transform.random_generator.uniform(-limit, limit, before.shape)
        back = _affine_between(after, before)
        map_x, map_y = params["map_x"], params["map_y"]
        for name, (by_x, by_y, shift) in zip(("map_x", "map_y"), back, strict=True):
            params[name] = (by_x * map_x + by_y * map_y + shift).astype(np.float32)
        return params


def _affine_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the 2x3 matrix that takes three points to three others."""
    try:
        solved: np.ndarray = np.linalg.solve(np.column_stack([source, np.ones(3)]), target)
    except np.linalg.LinAlgError:  # on one line: as good as never, and nothing to map by
        return np.eye(2, 3)
    return solved.T


@ImageTransform.register("grid_distortion")
class GridDistortion(AlbumentationsTransform):
    """Stretch and squeeze the cells of a grid laid over the picture; the size stays.

    Args:
        num_steps: Cells along each axis, at least 1.
        distort_limit: How much a cell may grow or shrink, as a share of it: a number n for -n..n,
            or [from, to], within -1..1.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number.
        border_mode: What shows where the picture does not reach: `constant` (`value`), `replicate`
            (the edge), `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant border, one number or one per channel.
        mask_value: Class index of a constant border in masks.
        p: How often it fires, 0..1.
    """

    library_class = "GridDistortion"

    def __init__(
        self,
        num_steps: int = 5,
        distort_limit: float | tuple[float, float] = 0.3,
        interpolation: Interpolation = "linear",
        border_mode: Border = "reflect_101",
        value: FillValue = None,
        mask_value: int | None = None,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        if num_steps < 1:
            raise ConfigurationError(f"num_steps: expected at least 1 cell, found {num_steps}")
        self.num_steps = num_steps
        self.distort_limit = as_symmetric_range("distort_limit", distort_limit, 1)
        self.interpolation = interpolation
        self._border = border_arguments(border_mode, value, mask_value)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "num_steps": self.num_steps,
            "distort_limit": self.distort_limit,
            "interpolation": interpolation_number(self.interpolation),
            **self._border,
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        transform.num_steps = min(self.num_steps, *sample.image.shape[:2])  # no empty cells
        return super().draw(transform, sample)
