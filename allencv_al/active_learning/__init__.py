"""Choosing what to label next: pools of unlabeled items and the strategies that query them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.active_learning.pool import Pool as Pool
    from allencv_al.active_learning.pool_outputs import PoolOutputs as PoolOutputs
    from allencv_al.active_learning.scoring import ScoringOptions as ScoringOptions
    from allencv_al.active_learning.scoring import compute_outputs as compute_outputs
    from allencv_al.active_learning.selection import Selection as Selection
    from allencv_al.active_learning.selector import SampleSelector as SampleSelector
    from allencv_al.active_learning.strategies.base import QueryStrategy as QueryStrategy

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Pool": "allencv_al.active_learning.pool",
        "PoolOutputs": "allencv_al.active_learning.pool_outputs",
        "QueryStrategy": "allencv_al.active_learning.strategies.base",
        "SampleSelector": "allencv_al.active_learning.selector",
        "ScoringOptions": "allencv_al.active_learning.scoring",
        "Selection": "allencv_al.active_learning.selection",
        "compute_outputs": "allencv_al.active_learning.scoring",
    },
)
