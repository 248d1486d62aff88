"""Base class of the optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import torch
from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.config.signatures import Argument, signature_of
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.errors import CheckpointError, ConfigurationError, Fault
from allencv_al.common.names import did_you_mean
from allencv_al.training.optimizers.parameter_groups import (
    GroupRule,
    ParameterGroups,
    make_parameter_groups,
    read_rules,
)

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView

_HERE = "allencv_al.training.optimizers"

AtLeastZero = Annotated[float, Ge(0)]
Decay = Annotated[float, Interval(ge=0, lt=1)]

ANNOTATIONS: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "alpha",
            "eps",
            "initial_accumulator_value",
            "lr",
            "lr_decay",
            "momentum",
            "momentum_decay",
            "weight_decay",
        ),
        AtLeastZero,
    ),
    "betas": tuple[Decay, Decay],
    "rho": Decay,
}
"""The options of torch's optimizers with their limits, which torch checks one by one or not."""

_GROUP_ONLY = {
    "initial_lr": Argument("initial_lr", AtLeastZero, None, "Where a schedule starts from."),
    "requires_grad": Argument("requires_grad", bool, True, "False freezes the group."),
}


class Optimizer(torch.optim.Optimizer, Registrable):
    """A PyTorch optimizer whose parameter groups are chosen by regular expressions.

    Every option of a constructor can be given to a group, too, and `initial_lr` (where a learning
    rate schedule starts from) and `requires_grad` (false leaves the group untrained). The
    groups keep the order in which they are listed; after them comes the default group with the
    parameters that no expression matches, even if there are none.

    A subclass derives from this and from the torch class, which it names in `wraps`; or it has a
    constructor that ends with
    `self._construct(torch.optim.X.__init__, model_parameters, parameter_groups, lr=lr, ...)`.

    Args:
        model_parameters: Names and parameters, given by the trainer.
        *values: Options by position, in the order of the torch class.
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
        **options: Options of the torch class.
    """

    default_implementation = "adam"
    builtin: ClassVar[dict[str, str]] = {
        "adadelta": f"{_HERE}.torch_optimizers",
        "adagrad": f"{_HERE}.torch_optimizers",
        "adam": f"{_HERE}.torch_optimizers",
        "adamax": f"{_HERE}.torch_optimizers",
        "adamw": f"{_HERE}.torch_optimizers",
        "muon": f"{_HERE}.muon",
        "nadam": f"{_HERE}.torch_optimizers",
        "radam": f"{_HERE}.torch_optimizers",
        "rmsprop": f"{_HERE}.torch_optimizers",
        "sgd": f"{_HERE}.torch_optimizers",
    }
    injected = ("model_parameters",)

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        *values: Any,
        parameter_groups: ParameterGroups | None = None,
        **options: Any,
    ) -> None:
        if self.wraps is None:
            raise ConfigurationError(f"{type(self).__name__}: set wraps, or write a constructor")
        names = list(signature_of(cast("type", type(self))).arguments)
        by_position = dict(zip(names[1:], values, strict=False))
        self._construct(
            self.wraps.resolve().__init__,
            model_parameters,
            parameter_groups,
            **self.wraps.call(by_position | options),
        )

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        groups = config.get("parameter_groups")
        for index, group in enumerate(groups if isinstance(groups, list | tuple) else ()):
            # The spec reports a group of another shape; options are checked all the same
            is_list = isinstance(group, list | tuple)
            patterns, options = [*group, None, None][:2] if is_list else (None, None)
            if patterns == []:
                place = f"parameter_groups.{index}.0"
                yield config.fault(place, "expected at least one regular expression, found none")
            if isinstance(options, Mapping):
                for fault in cls._option_faults(index, options):
                    yield config.fault(fault.path, fault.message)

    def _construct(
        self,
        initialize: Callable[..., None],
        model_parameters: Sequence[tuple[str, torch.nn.Parameter]],
        parameter_groups: Sequence[Sequence[Any]] | None,
        **options: Any,
    ) -> None:
        """Check everything and call `initialize`, the constructor of the torch class."""
        rules = [self._checked(i, rule) for i, rule in enumerate(read_rules(parameter_groups))]
        groups = make_parameter_groups(list(model_parameters), rules)
        try:
            initialize(self, groups, **options)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"{type(self).__name__}: {error}") from error

    @overrides(check_signature=False)
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            CheckpointError: Its groups hold other parameters, which PyTorch would not notice.
        """
        for saved, group in zip(state_dict["param_groups"], self.param_groups, strict=False):
            theirs, ours = saved.get("parameter_names"), group["parameter_names"]
            if theirs is not None and theirs != ours:
                raise CheckpointError(
                    f'the saved optimizer has other parameters in group "{group["name"]}": '
                    f"only there {sorted(set(theirs) - set(ours))}, "
                    f"only here {sorted(set(ours) - set(theirs))}"
                )
        super().load_state_dict(state_dict)

    @classmethod
    def _checked(cls, index: int, rule: GroupRule) -> GroupRule:
        faults = list(cls._option_faults(index, rule.options))
        if faults:
            raise ConfigurationError("\n".join(map(str, faults)))
        known = cls._group_arguments()
        options = {
            name: spec_of(known[name].annotation).build(value, name, Scope())
            for name, value in rule.options.items()
        }
        return GroupRule(rule.patterns, options)

    @classmethod
    def _option_faults(cls, index: int, options: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield what is wrong with the options of one group."""
        place = f"parameter_groups.{index}.1"
        known = cls._group_arguments()
        for name, value in options.items():
            path = f"{place}.{name}"
            if name in known:
                yield from spec_of(known[name].annotation).faults(value, path, Scope())
            else:
                hint = did_you_mean(name, list(known)) or f"; known here: {', '.join(known)}"
                yield Fault(path, f"unknown option of {cls.__name__}{hint}")

    @classmethod
    def _group_arguments(cls) -> dict[str, Argument]:
        own = dict(signature_of(cast("type", cls)).arguments)
        for name in ("model_parameters", "parameter_groups"):
            own.pop(name, None)
        return own | _GROUP_ONLY
