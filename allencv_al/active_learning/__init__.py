"""Choosing what to label next: pools of unlabeled items and the strategies that query them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.active_learning.pool import Pool as Pool
    from allencv_al.active_learning.selection import Selection as Selection
    from allencv_al.active_learning.strategies.base import QueryStrategy as QueryStrategy

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Pool": "allencv_al.active_learning.pool",
        "QueryStrategy": "allencv_al.active_learning.strategies.base",
        "Selection": "allencv_al.active_learning.selection",
    },
)
