"""The metrics that a config adds to those of a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import snake_case
from allencv_al.metrics.base import Metric, MetricInput

_OF_EVALUATION = "loss"


class AddedMetrics:
    """Registered metrics beside a model's own, for training and evaluation apart.

    Args:
        metrics: The metrics, under names or in a list; the name is then the registered one.
        inputs: The kinds of inputs that the model can give; see `Metric.takes`.

    Raises:
        ConfigurationError: Two have one name, or the model has not what one of them takes.
    """

    def __init__(
        self, metrics: Mapping[str, Metric] | Sequence[Metric] | None, inputs: Collection[str]
    ) -> None:
        named = dict(metrics) if isinstance(metrics, Mapping) else _named(metrics or ())
        if _OF_EVALUATION in named:
            raise ConfigurationError('metrics: "loss" is the name of the loss; take another one')
        for name, metric in named.items():
            if metric.takes not in inputs:
                known = ", ".join(sorted(inputs)) or "none"
                raise ConfigurationError(
                    f'metrics: "{name}" takes {metric.takes}, which the model does not give; '
                    f"it gives {known}"
                )
        self._of = {True: named, False: deepcopy(named)}

    def __call__(
        self, training: bool, kind: MetricInput, predictions: Any, gold: Any, mask: Tensor | None
    ) -> None:
        """Add a batch to the metrics that take this kind of inputs.

        Args:
            training: Whether the model trains.
            kind: See `Metric.takes`.
            predictions: The predictions, as that kind has them.
            gold: The gold values.
            mask: The items that count; all if None.
        """
        for metric in self._of[training].values():
            if metric.takes == kind:
                metric(predictions, gold, mask)

    def values(
        self, training: bool, class_names: Callable[[], Sequence[str]], reset: bool
    ) -> dict[str, Any]:
        """Return the values by name; what has a value for each class, by the classes' names.

        A metric of several values gives one for each, as `f1_precision`.

        Args:
            training: Whether the model trains.
            class_names: Returns a name for each class; called if there is a metric.
            reset: Whether to begin anew afterwards.
        """
        found: dict[str, Any] = {}
        for name, metric in self._of[training].items():
            found |= dict(_flat(name, metric.get_metric(reset), class_names()))
        return found

    def of_training(self) -> dict[str, Metric]:
        """Return the metrics of training, whose states a mid-epoch checkpoint needs."""
        return self._of[True]


def _named(metrics: Sequence[Metric]) -> dict[str, Metric]:
    named: dict[str, Metric] = {}
    for metric in metrics:
        kind = type(metric)
        name = str(metric.to_params().as_dict().get("type", snake_case(kind.__name__)))
        if name in named:
            raise ConfigurationError(
                f'metrics: "{name}" is there twice; give an object with a name for each'
            )
        named[name] = metric
    return named


def _flat(name: str, value: Any, class_names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(name if key == name else f"{name}_{key}", part, class_names)
    elif isinstance(value, list) and 0 < len(value) == len(class_names) and _is_plain(value):
        yield name, dict(zip(class_names, value, strict=True))
    else:
        yield name, value


def _is_plain(values: list[Any]) -> bool:
    return not any(isinstance(value, list) for value in values)
