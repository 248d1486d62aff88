"""Labeling sessions of several annotators: images, answers and agreed labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.labels.sessions.labeling_store import LabelingStore as LabelingStore

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"LabelingStore": "allencv_al.labels.sessions.labeling_store"}
)
