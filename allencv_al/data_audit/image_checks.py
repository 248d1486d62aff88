"""Findings about single images: outliers, dark, bright, blurred and odd-sized ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from allencv_al.data_audit.findings import FindingKind
from allencv_al.data_audit.image_facts import ImageFacts

Values = NDArray[np.floating[Any]]

# As cleanvision has them: the bright end of a dark image, the dark end of a bright one
_DARK = 0.32
_BRIGHT = 0.95
# 800 photographs of cats, dogs and insects have 0.19 and more; blurred by 2 % of their side, nearly
# all have less than this, by 1 % half of them
_BLURRED = 0.15
_FENCE = 3.0  # interquartile ranges beyond the quartiles: Tukey's for far outliers
# cleanlab: Q3 + 1.7 interquartile ranges
_OUTLIER_FENCE = 1.7
_RARE = 0.1  # of the mean number of images of a class: cleanlab's limit


class Odd(NamedTuple):
    """An image, or a class, beyond a limit.

    Args:
        kind: The kind of finding.
        place: The place of the image; of the class in the order of names.
        score: The distance beyond the limit, 0 to 1.
        detail: The value and the limit.
    """

    kind: FindingKind
    place: int
    score: float
    detail: str


def odd_images(facts: ImageFacts) -> Iterator[Odd]:
    """Yield the dark, bright, blurred and odd-sized images."""
    for place in np.flatnonzero(facts.brightest < _DARK).tolist():
        value = float(facts.brightest[place])
        detail = f"99 % of its pixels are darker than {value:.0%} of white"
        yield Odd("dark", place, 1 - value / _DARK, detail)
    for place in np.flatnonzero(facts.darkest > _BRIGHT).tolist():
        value = float(facts.darkest[place])
        detail = f"95 % of its pixels are brighter than {value:.0%} of white"
        yield Odd("bright", place, (value - _BRIGHT) / (1 - _BRIGHT), detail)
    # An image of one color has no sharpness; it is dark, bright or an outlier
    for place in np.flatnonzero(facts.sharpness < _BLURRED).tolist():
        value = float(facts.sharpness[place])
        yield Odd("blurred", place, 1 - value / _BLURRED, f"sharpness {value:.3f}")
    yield from _odd_sizes(facts.sizes)


def outliers(cosines: NDArray[np.float32]) -> Iterator[Odd]:
    """Yield the images that are far from their nearest ones.

    Args:
        cosines: Of each image and its nearest ones, `[N, K]`.
    """
    distances = 1 - cosines.mean(axis=1, dtype=np.float64)
    low, high = np.quantile(distances, [0.25, 0.75])
    limit = high + _OUTLIER_FENCE * (high - low)
    for place in np.flatnonzero(distances > limit).tolist():
        value = float(distances[place])
        detail = f"distance {value:.2f} to its {cosines.shape[1]} nearest images, usual {high:.2f}"
        yield Odd("outlier", place, _excess(value, limit), detail)


def rare_classes(labels: Sequence[str]) -> Iterator[tuple[str, int, float]]:
    """Yield classes with few images, with their number and how few, 0 to 1.

    Args:
        labels: The labels of the training images.
    """
    counts = Counter(labels)
    limit = _RARE * len(labels) / max(len(counts), 1)
    for name, count in sorted(counts.items()):
        if count < limit:
            yield name, count, 1 - count / limit


def _odd_sizes(sizes: NDArray[np.int64]) -> Iterator[Odd]:
    width, height = np.log(np.maximum(sizes, 1)).T
    scores = np.maximum(_beyond_fences((width + height) / 2), _beyond_fences(width - height))
    for place in np.flatnonzero(scores > 0).tolist():
        detail = "{} x {} pixels".format(*sizes[place].tolist())
        yield Odd("odd_size", place, float(scores[place]), detail)


def _beyond_fences(values: Values) -> Values:
    """Return how far values are beyond both fences, 0 to 1; 0 within."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    # Where all sizes are one, a few pixels more or less are nothing
    width = _FENCE * max(high - low, np.log(1.1) / _FENCE)
    beyond = np.maximum(values - high, low - values)
    far = np.maximum(np.abs(values - middle), 1e-12)
    return np.where(beyond > width, 1 - np.minimum(width / far, 1.0), 0.0)


def _excess(value: float, limit: float) -> float:
    return 1 - limit / value if value > limit else 0.0
