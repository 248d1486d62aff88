"""Transforms that bend the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.data.instance import Sample
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Border,
    FillValue,
    Interpolation,
)
from allencv_al.data.transforms.base import ImageTransform, NumberOrRange, Share, Symmetric


@ImageTransform.register("elastic_transform")
@dataclass(eq=False)
class ElasticTransform(AlbumentationsTransform):
    """Bend the image by a smooth random field, after a random affine map; the size stays.

    Simard et al. 2003, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis".

    Args:
        alpha: Strength of the field: noise evenly from -alpha to alpha pixels is smoothed. With
            `sigma` 50, what is left moves pixels visibly from some thousands on.
        sigma: Standard deviation of the Gaussian that smooths the field, in pixels.
        alpha_affine: Maximum shift of each of three points of the image along each axis that
            determines the affine map, in pixels. The default is large for small images.
        approximate: Smooth with a fixed kernel of 17 pixels: faster where `sigma` is large.
    """

    library_class = "ElasticTransform"

    alpha: Annotated[float, Ge(0)] = 1.0
    sigma: Annotated[float, Gt(0)] = 50.0
    alpha_affine: Annotated[float, Ge(0)] = 50.0
    interpolation: Interpolation = "linear"
    border_mode: Border = "reflect_101"
    value: FillValue = None
    mask_value: int | None = None
    approximate: bool = False
    p: Share = 0.5

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        arguments = super().library_arguments()
        del arguments["alpha_affine"]
        return {**arguments, "noise_distribution": "uniform"}

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Put the affine map, which the library gave up after 2019, before the field.

        Both are "where does this pixel come from" maps, so one after the other is one map, and
        the image is interpolated once.
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
@dataclass(eq=False)
class GridDistortion(AlbumentationsTransform):
    """Stretch and squeeze the cells of a grid laid over the image; the size stays.

    Args:
        num_steps: Cells along each axis, at least 1.
        distort_limit: Change of the size of a cell, as a share of it: a number n for -n..n, or
            [from, to], within -1..1.
    """

    library_class = "GridDistortion"

    num_steps: Annotated[int, Ge(1)] = 5
    distort_limit: Annotated[NumberOrRange, Symmetric(1)] = 0.3
    interpolation: Interpolation = "linear"
    border_mode: Border = "reflect_101"
    value: FillValue = None
    mask_value: int | None = None
    p: Share = 0.5

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        transform.num_steps = min(self.num_steps, *sample.image.shape[:2])  # no empty cells
        return super().draw(transform, sample)
