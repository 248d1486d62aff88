"""Averages of the parameters over training, which often validate better than the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt, Interval
from overrides import overrides
from torch import Tensor

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import CheckpointError


class MovingAverage(Registrable):
    """Keeps an average of each parameter, and can swap the averages in.

    Args:
        parameters: Names and parameters, given by the trainer.
    """

    builtin: ClassVar[dict[str, str]] = {
        "exponential": "allencv_al.training.trainers.moving_average"
    }
    default_implementation = "exponential"
    injected = ("parameters",)

    def __init__(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        named = dict(parameters)
        self._names = list(named)
        self._parameters = [parameter.detach() for parameter in named.values()]
        self._shadows = [parameter.clone() for parameter in self._parameters]
        self._backups: list[Tensor] | None = None

    def apply(self, num_updates: int | None = None) -> None:
        """Update the averages by the current parameters; called after each optimizer step.

        Args:
            num_updates: The optimizer steps so far.
        """
        raise NotImplementedError

    @torch.no_grad()
    def assign_average_value(self) -> None:
        """Replace the parameters by the averages until `restore`; a second call has no effect."""
        if self._backups is None:
            self._backups = [parameter.clone() for parameter in self._parameters]
            # Into the same tensors, which the optimizer and compiled graphs hold
            torch._foreach_copy_(self._parameters, self._shadows)

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the parameters if the averages replace them."""
        if self._backups is not None:
            torch._foreach_copy_(self._parameters, self._backups)
            self._backups = None

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace the parameters by their averages within a `with` block."""
        self.assign_average_value()
        try:
            yield
        finally:
            self.restore()

    def state_dict(self) -> dict[str, Any]:
        """Return the averages by parameter name: the tensors themselves, not copies."""
        return {"shadows": dict(zip(self._names, self._shadows, strict=True))}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the averages of a state."""
        shadows = state_dict["shadows"]
        if shadows.keys() != set(self._names):
            raise CheckpointError(
                "the saved averages are of other parameters: "
                f"missing {sorted(set(self._names) - shadows.keys())}, "
                f"unexpected {sorted(shadows.keys() - set(self._names))}"
            )
        torch._foreach_copy_(self._shadows, [shadows[name] for name in self._names])


@MovingAverage.register("exponential")
class ExponentialMovingAverage(MovingAverage):
    """`average = decay * average + (1 - decay) * parameter`.

    In the first steps the decay is smaller, `(numerator + steps) / (denominator + steps)`, so that
    the starting values are forgotten soon.

    Args:
        parameters: Names and parameters, given by the trainer.
        decay: The part of the average that a step keeps, 0 to 1.
        numerator: See above.
        denominator: See above.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, Tensor]],
        decay: Annotated[float, Interval(ge=0, le=1)] = 0.9999,
        numerator: Annotated[float, Gt(0)] = 1.0,
        denominator: Annotated[float, Gt(0)] = 10.0,
    ) -> None:
        super().__init__(parameters)
        self._decay = decay
        self._numerator = numerator
        self._denominator = denominator

    @torch.no_grad()
    @overrides
    def apply(self, num_updates: int | None = None) -> None:
        decay = self._decay
        if num_updates is not None:
            # The ramp of TensorFlow's ExponentialMovingAverage: 0.1 at step 0, 0.9 at step 80
            early = (self._numerator + num_updates) / (self._denominator + num_updates)
            decay = min(decay, early)
        # One kernel for all parameters, not one for each: small networks have hundreds of them
        torch._foreach_lerp_(self._shadows, self._parameters, 1 - decay)
