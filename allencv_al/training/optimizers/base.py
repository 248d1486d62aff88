"""The base of optimizers, and the groups of parameters that have options of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import torch
from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.config.signatures import Argument, signature_of
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.errors import CheckpointError, ConfigurationError, Fault
from allencv_al.common.names import did_you_mean, listed

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView

ParameterGroups = list[tuple[list[re.Pattern[str]], dict[str, Any]] | tuple[list[re.Pattern[str]]]]
"""The parameter groups of a config: the expressions of each group and its optional options."""

_SHOWN = 40  # names in a message that helps to find the right expression
_FEW = 5  # names in a message where further ones add nothing

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


@dataclass(frozen=True, slots=True)
class GroupRule:
    """The parameters of a group, and the group's options.

    Args:
        patterns: A parameter belongs to the group if one of them is found in its name.
        options: Options that the group overrides, `lr` for example.
    """

    patterns: tuple[re.Pattern[str], ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The expressions, as messages and logs show them."""
        return " | ".join(pattern.pattern for pattern in self.patterns)

    @property
    def freezes(self) -> bool:
        """Whether the group's parameters are not to be trained at all."""
        return self.options.get("requires_grad") is False

    def holds(self, name: str) -> bool:
        """Return whether a parameter belongs to the group."""
        return any(pattern.search(name) for pattern in self.patterns)


def read_rules(parameter_groups: Sequence[Sequence[Any]] | None) -> list[GroupRule]:
    """Return the rules of a `parameter_groups` argument; strings are compiled.

    Raises:
        ConfigurationError: A group is not a list of expressions with or without options, or an
            expression does not compile.
    """
    rules, faults = [], []
    for index, group in enumerate(parameter_groups or ()):
        try:
            rules.append(_read_rule(group))
        except (TypeError, ValueError, re.error) as error:
            faults.append(f"parameter_groups.{index}: {error}")
    if faults:
        raise ConfigurationError("\n".join(faults))
    return rules


def _read_rule(group: Sequence[Any]) -> GroupRule:
    is_pair = isinstance(group, list | tuple) and len(group) in (1, 2)
    if not is_pair or not isinstance(group[0], list | tuple):
        raise ValueError(
            f"expected [[regular expressions]] or [[regular expressions], {{options}}], "
            f"found {group!r}"
        )
    patterns = tuple(re.compile(pattern) for pattern in group[0])
    options = cast("Mapping[str, Any]", group[1] if len(group) == 2 else {})
    if not patterns:
        raise ValueError("expected at least one regular expression, found none")
    if not isinstance(options, Mapping):
        raise ValueError(f"expected an object of options, found {options!r}")
    return GroupRule(patterns, options)


def assignment_faults(
    rules: Sequence[GroupRule], trainable: Sequence[str], frozen: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield place and message of each expression without parameters and of each overlap of groups.

    Args:
        rules: The groups.
        trainable: The names of the parameters that require gradients.
        frozen: The names of those that do not.
    """
    for index, rule in enumerate(rules):
        for place, pattern in enumerate(rule.patterns):
            if not any(map(pattern.search, trainable)):
                message = _unmatched(pattern, trainable, frozen)
                yield f"parameter_groups.{index}.0.{place}", message
    shared: dict[tuple[int, ...], list[str]] = {}
    for name in trainable:
        found = tuple(index for index, rule in enumerate(rules) if rule.holds(name))
        if len(found) > 1:
            shared.setdefault(found, []).append(name)
    for found, names in shared.items():
        groups = " and ".join(f'"{rules[index].name}"' for index in found)
        quoted = listed([f'"{name}"' for name in names], _FEW)
        belong = "belongs" if len(names) == 1 else "belong"
        yield f"parameter_groups.{found[-1]}", f"{quoted} {belong} to {len(found)} groups: {groups}"


def default_group_fault(names: Sequence[str]) -> str:
    """Return the fault that gradual unfreezing never trains the default group."""
    return (
        "gradual unfreezing needs an empty default group, but no parameter group names "
        f"{listed(names, _FEW)}; add a group whose regular expression matches them"
    )


def _unmatched(pattern: re.Pattern[str], trainable: Sequence[str], frozen: Sequence[str]) -> str:
    asleep = [name for name in frozen if pattern.search(name)]
    if asleep:
        return (
            f'"{pattern.pattern}" matches frozen parameters only (requires_grad is false): '
            f"{listed(asleep, _SHOWN)}; drop the expression or let them train"
        )
    hidden = f"; frozen: {listed(frozen, _SHOWN)}" if frozen else ""
    found = f"{listed(trainable, _SHOWN)}{hidden}"
    return f'"{pattern.pattern}" matches no parameter; those that train: {found}'


def make_parameter_groups(
    model_parameters: Sequence[tuple[str, torch.nn.Parameter]], rules: Sequence[GroupRule]
) -> list[dict[str, Any]]:
    """Return the groups for a `torch.optim.Optimizer`, in the order of the rules.

    The last is the default group with the parameters that no rule names, even if it is empty.
    Parameters that do not require gradients are left out; a rule with `{"requires_grad": false}`
    freezes its parameters, and they are left out too.

    Args:
        model_parameters: Names and parameters; their order is kept within each group.
        rules: The groups.

    Raises:
        ConfigurationError: An expression matches nothing, a parameter belongs to two groups, or
            no parameter is left to train; all faults at once.
    """
    trainable = {name: p for name, p in model_parameters if p.requires_grad}
    frozen = [name for name, p in model_parameters if not p.requires_grad]
    faults = [f"{p}: {text}" for p, text in assignment_faults(rules, list(trainable), frozen)]
    if faults:
        raise ConfigurationError("\n".join(faults))
    groups = []
    for rule in rules:
        names = [name for name in trainable if rule.holds(name)]
        members = {name: trainable.pop(name) for name in names}
        # A frozen parameter is in no group: weight decay would still move it
        if rule.freezes:
            for parameter in members.values():
                parameter.requires_grad_(False)
            continue
        options = {key: value for key, value in rule.options.items() if key != "requires_grad"}
        groups.append(_group(rule.name, members) | options)
    # Even if empty: schedules and checkpoints count on the default group being the last
    groups.append(_group("default", trainable))
    if not any(group["params"] for group in groups):
        raise ConfigurationError("the model has no parameter that requires gradients")
    return groups


def _group(name: str, members: Mapping[str, torch.nn.Parameter]) -> dict[str, Any]:
    return {"params": list(members.values()), "name": name, "parameter_names": list(members)}


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
        # What torch says of options that exclude each other, such as nesterov without momentum
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"{type(self).__name__}: {error}") from error

    @overrides(check_signature=False)
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            CheckpointError: Its groups hold other parameters, which PyTorch would not notice.
        """
        # strict=False: another number of groups torch reports itself
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
