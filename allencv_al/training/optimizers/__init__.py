"""PyTorch's optimizers, with parameter groups chosen by regular expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.training.optimizers.base import Optimizer as Optimizer
    from allencv_al.training.optimizers.base import ParameterGroups as ParameterGroups

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {"Optimizer": f"{__name__}.base", "ParameterGroups": f"{__name__}.parameter_groups"},
)
