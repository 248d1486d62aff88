"""Initialize parameters by regular expressions on their names."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common import FromParams
from allencv_al.common.config.plugins import is_from_elsewhere
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.modules.initializers import Initializer
from allencv_al.modules.parameter_names import compiled, first_matches

logger = logging.getLogger(__name__)


class InitializerApplicator(FromParams):
    """The initial values of a model: `[regular expression, initializer]` pairs.

    A parameter is filled by the first initializer whose expression is found in its name
    (`re.search`); the others keep what their layers gave them. A config may give the list of pairs
    alone, and "prevent" instead of an initializer (or `{"type": "prevent"}`).

    Args:
        regexes: The pairs, for example
            `[["_classification_layer.weight", {"type": "normal", "std": 0.01}]]`.
        prevent_regexes: Parameters whose name one of these is found in are left as they are.
    """

    def __init__(
        self,
        regexes: list[tuple[re.Pattern[str], Initializer]] | None = None,
        prevent_regexes: list[re.Pattern[str]] | None = None,
    ) -> None:
        self._regexes = [(compiled(pattern), filler) for pattern, filler in regexes or []]
        self._prevented = [compiled(pattern) for pattern in prevent_regexes or []]

    @classmethod
    @overrides
    def expand_shorthand(cls, value: Any) -> Any:
        known = {"regexes": value} if isinstance(value, list) else value
        if not isinstance(known, Mapping) or not isinstance(known.get("regexes"), list):
            return known
        pairs = known["regexes"]
        prevented = [pair[0] for pair in pairs if _prevents(pair)]
        if not prevented:
            return known
        also = known.get("prevent_regexes") or []
        others = [pair for pair in pairs if not _prevents(pair)]
        return {**known, "regexes": others, "prevent_regexes": [*also, *prevented]}

    def __call__(self, module: torch.nn.Module) -> None:
        """Fill the parameters of a module.

        Raises:
            ConfigurationError: An expression is found in no name, or an initializer cannot fill
                a parameter of that shape.
        """
        if is_from_elsewhere():
            # Its weights follow at once, and an expression can be made to search for days
            return
        parameters = dict(module.named_parameters())
        # Prevented names come first, with no initializer
        pairs = [*((pattern, None) for pattern in self._prevented), *self._regexes]
        for name, filler in first_matches("initializer", pairs, list(parameters)).items():
            _fill(filler, parameters[name], name)


def _prevents(pair: Any) -> bool:
    is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
    return is_pair and pair[1] in ("prevent", {"type": "prevent"})


def _fill(filler: Initializer, parameter: Tensor, name: str) -> None:
    logger.info("%s is initialized by %s", name, type(filler).__name__)
    try:
        before = parameter.shape
        with torch.no_grad():
            filler(parameter, name)
        if parameter.shape != before:
            wanted = f"{name} filled in place, of shape {list(before)}"
            raise wrong_result(filler, "__call__", wanted, parameter)
    except ValueError as error:  # torch: too few dimensions for this initializer
        shape = "x".join(map(str, parameter.shape))
        raise ConfigurationError(
            f"initializer: {type(filler).__name__} cannot fill {name} ({shape}): {error}"
        ) from error
