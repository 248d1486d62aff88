"""Momentum schedules, by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.training.momentum_schedulers.base import (
        MomentumScheduler as MomentumScheduler,
    )
    from allencv_al.training.momentum_schedulers.inverted_triangular import (
        InvertedTriangular as InvertedTriangular,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "InvertedTriangular": f"{__name__}.inverted_triangular",
        "MomentumScheduler": f"{__name__}.base",
    },
)
