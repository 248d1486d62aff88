"""`Pipeline`: train, test and infer functions of a user, over HTTP. It needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.service.pipeline.pipeline import Pipeline as Pipeline

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"Pipeline": "allencv_al.service.pipeline.pipeline"}
)

SCOPES = ("train", "test", "infer", "state", "loop")
"""Scopes of a pipeline's tokens."""
