"""`CurveLine`: one line of a chart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class CurveLine:
    """One line of a chart, with the band around it where it is a mean.

    Args:
        name: What the legend calls it.
        x: Where it was measured, increasing: label counts, `[R]`.
        y: What was measured, fractions, `[R]`.
        low: Lower end of the band, `[R]`; None for no band.
        high: Upper end of the band.
        baseline: Whether the others are compared with it; it is drawn gray and dashed.
    """

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None = None
    high: npt.NDArray[np.float64] | None = None
    baseline: bool = False
