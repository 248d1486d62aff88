"""Scaling of feature vectors, with statistics of a pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

FeatureScalingKind: TypeAlias = Literal[
    "none", "standardize", "l2", "power_l2", "center_l2", "standardize_l2"
]

Features: TypeAlias = NDArray[np.floating[Any]]

# 16 MB of float32 at 1,024 values a row: temporaries stay small beside the features of a pool
_BLOCK_ROWS = 4096
# A column that varies by less than float32 can tell from its mean does not vary
_RESOLUTION = float(np.finfo(np.float32).eps)


class ScalingSteps(NamedTuple):
    """The steps of a kind of scaling, in the order in which they are applied."""

    root: bool = False
    center: bool = False
    standardize: bool = False
    unit_length: bool = False


SCALING_STEPS: dict[FeatureScalingKind, ScalingSteps] = {
    "none": ScalingSteps(),
    "standardize": ScalingSteps(center=True, standardize=True),
    "l2": ScalingSteps(unit_length=True),
    "power_l2": ScalingSteps(root=True, unit_length=True),
    "center_l2": ScalingSteps(center=True, unit_length=True),
    "standardize_l2": ScalingSteps(center=True, standardize=True, unit_length=True),
}
assert tuple(SCALING_STEPS) == get_args(FeatureScalingKind)


@dataclass(frozen=True)
class FeatureScaling:
    """A fixed map of feature vectors `[N, D]` to scaled ones of the same shape.

    | kind | each vector x becomes |
    |---|---|
    | `none` | x |
    | `standardize` | (x - mean) / deviation |
    | `l2` | x / norm |
    | `power_l2` | signed square root, then `l2` (Yun et al., ICCV 2015, 1506.08529) |
    | `center_l2` | x - mean, then `l2` (SimpleShot, 1911.04623) |
    | `standardize_l2` | `standardize`, then `l2` |

    A vector of zeros stays one. A value that does not vary over the pool is centered and not
    divided.

    Args:
        kind: The steps.
        mean: `[D]` float64; zeros where the kind does not center.
        deviation: `[D]` float64, above 0; ones where the kind does not standardize.
    """

    kind: FeatureScalingKind
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def fit(cls, kind: FeatureScalingKind, features: Features) -> Self:
        """Return the scaling with the statistics of the features, summed in float64 by blocks.

        Args:
            kind: The steps.
            features: `[N, D]`, finite; best of the unlabeled pool, since the mean of a few labeled
                images is mostly noise. Without rows the scaling only applies `root` and `l2`.
        """
        width = features.shape[1]
        mean, deviation = np.zeros(width), np.ones(width)
        steps = SCALING_STEPS[kind]
        if len(features) and steps.center:
            mean = sum_rows(features) / len(features)
        if len(features) and steps.standardize:
            # A second pass over centered values: the difference of two large sums would cancel
            squares = sum(
                (((b - mean) ** 2).sum(axis=0) for b in _blocks(features)), np.zeros(width)
            )
            spread = np.sqrt(squares / len(features))
            deviation = np.where(spread > _RESOLUTION * np.abs(mean), spread, 1.0)
        return cls(kind, mean, deviation)

    def apply(self, features: Features) -> NDArray[np.float32]:
        """Return the scaled features `[N, D]` float32, computed in float64 by blocks."""
        scaled = np.empty(features.shape, np.float32)
        start = 0
        for block in _blocks(features):
            scaled[start : start + len(block)] = self._apply(block)
            start += len(block)
        return scaled

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the statistics by name, as `from_arrays` takes them."""
        return {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def from_arrays(cls, kind: FeatureScalingKind, arrays: Mapping[str, Features]) -> Self:
        """Return the scaling with the statistics that `arrays` returned."""
        return cls(
            kind,
            np.asarray(arrays["mean"], np.float64),
            np.asarray(arrays["deviation"], np.float64),
        )

    def _apply(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = SCALING_STEPS[self.kind]
        if steps.root:
            block = np.sign(block) * np.sqrt(np.abs(block))
        if steps.center:
            block = (block - self.mean) / self.deviation
        if steps.unit_length:
            norms = np.linalg.norm(block, axis=1, keepdims=True)
            block = block / np.where(norms > 0, norms, 1.0)
        return block


def sum_rows(features: Features) -> NDArray[np.float64]:
    """Return the sum over the rows `[D]`, in float64 by blocks."""
    return sum((block.sum(axis=0) for block in _blocks(features)), np.zeros(features.shape[1]))


def mean_squared_norm(features: Features) -> float:
    """Return the mean of the squared lengths of the rows; 1.0 if there is none above 0.

    A penalty divided by it does not depend on the scale of the features.
    """
    total = sum(float((block**2).sum()) for block in _blocks(features))
    return total / len(features) if total > 0 else 1.0


def _blocks(features: Features) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(features), _BLOCK_ROWS):
        yield np.asarray(features[start : start + _BLOCK_ROWS], np.float64)
