"""Query strategies: one family to a file, all under `QueryStrategy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.selection.strategies.base import QueryStrategy as QueryStrategy

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"QueryStrategy": "allencv_al.selection.strategies.base"}
)
