"""Annotators give the labels that a round asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.labels.annotators.base import Annotator as Annotator
    from allencv_al.labels.annotators.base import LabelRequest as LabelRequest
    from allencv_al.labels.annotators.base import WaitingForLabels as WaitingForLabels

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Annotator": "allencv_al.labels.annotators.base",
        "LabelRequest": "allencv_al.labels.annotators.base",
        "WaitingForLabels": "allencv_al.labels.annotators.base",
    },
)
