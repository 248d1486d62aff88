"""Penalties on parameters, chosen by regular expressions on their names."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common import FromParams, Registrable
from allencv_al.modules.parameter_names import compiled, first_matches


class Regularizer(Registrable):
    """A penalty on one parameter, added to the loss while training."""

    builtin: ClassVar[dict[str, str]] = {
        "l1": "allencv_al.modules.regularizers",
        "l2": "allencv_al.modules.regularizers",
    }

    def __init__(self) -> None:
        pass

    @abstractmethod
    def __call__(self, parameter: Tensor) -> Tensor:
        """Return the penalty, a single number, for a parameter of any shape."""
        raise NotImplementedError


@Regularizer.register("l1")
class L1Regularizer(Regularizer):
    """alpha times the sum of absolute values.

    Args:
        alpha: The weight of the penalty.
    """

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__()
        self.alpha = alpha

    @overrides
    def __call__(self, parameter: Tensor) -> Tensor:
        return self.alpha * parameter.abs().sum()


@Regularizer.register("l2")
class L2Regularizer(Regularizer):
    """alpha times the sum of squares.

    Args:
        alpha: The weight of the penalty.
    """

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__()
        self.alpha = alpha

    @overrides
    def __call__(self, parameter: Tensor) -> Tensor:
        return self.alpha * parameter.square().sum()


class RegularizerApplicator(FromParams):
    """The penalties of a model: `[regular expression, regularizer]` pairs.

    A parameter takes the first regularizer whose expression is found in its name
    (`re.search`). Parameters that do not train have no penalty. A config may give the list of pairs
    alone.

    Args:
        regexes: The pairs, for example `[["_classification_layer.weight", {"type": "l2"}]]`.
    """

    def __init__(self, regexes: list[tuple[re.Pattern[str], Regularizer]] | None = None) -> None:
        self._regexes = [(compiled(pattern), penalty) for pattern, penalty in regexes or []]
        self._by_name: dict[str, Regularizer] | None = None  # matched once, not at every step

    @classmethod
    @overrides
    def expand_shorthand(cls, value: Any) -> Any:
        return {"regexes": value} if isinstance(value, list) else value

    def __call__(self, module: torch.nn.Module) -> Tensor | None:
        """Return the sum of all penalties, or None where no training parameter has one.

        Raises:
            ConfigurationError: An expression is found in no parameter's name.
        """
        if self._by_name is None:
            names = [name for name, _ in module.named_parameters()]
            self._by_name = first_matches("regularizer", self._regexes, names)
        penalties = [
            self._by_name[name](parameter)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and name in self._by_name
        ]
        return torch.stack(penalties).sum() if penalties else None
