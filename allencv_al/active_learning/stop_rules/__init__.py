"""When to stop labeling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.active_learning.stop_rules.base import StopRule as StopRule

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"StopRule": "allencv_al.active_learning.stop_rules.base"}
)
