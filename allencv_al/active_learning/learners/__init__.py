"""Learners train, test and infer for the loop: the model of a config, or a user's pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.active_learning.learners.base import Learner as Learner

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"Learner": "allencv_al.active_learning.learners.base"}
)
