"""The bootstrap over seeds: how much a mean would vary if other seeds had been drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """Options of resampling.

    Args:
        resamples: How many times.
        confidence: The share of them inside an interval.
        seed: The same seed gives the same intervals.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def weights(self, seeds: int) -> FloatArray:
        """Return how much each of the seeds counts in each resample, `[resamples, seeds]`.

        The same for every caller with as many seeds, so that resamples of two are paired.
        """
        generator = np.random.default_rng(self.seed)
        counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=self.resamples)
        return counts / seeds

    @property
    def tails(self) -> tuple[float, float]:
        """The percentages below the lower and below the upper end of an interval."""
        return 50 * (1 - self.confidence), 50 * (1 + self.confidence)


def mean_band(values: FloatArray, bootstrap: Bootstrap) -> tuple[FloatArray, FloatArray] | None:
    """Return the percentile interval of the mean over seeds, or None for a single seed.

    Args:
        values: A row per seed, `[seeds, R]`.
        bootstrap: How to resample.

    Returns:
        The lower and the upper end, each `[R]`.
    """
    if len(values) < 2:
        return None
    low, high = np.percentile(bootstrap.weights(len(values)) @ values, bootstrap.tails, axis=0)
    return low, high
