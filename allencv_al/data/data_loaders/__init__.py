"""Datasets to batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.data.data_loaders.base import DataLoader as DataLoader
    from allencv_al.data.data_loaders.multiprocess import (
        MultiprocessDataLoader as MultiprocessDataLoader,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "DataLoader": "allencv_al.data.data_loaders.base",
        "MultiprocessDataLoader": "allencv_al.data.data_loaders.multiprocess",
    },
)
