"""Parameter groups by regular expressions: `[[["^encoder"], {"lr": 1e-5}], [["^head"]]]`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import listed

if TYPE_CHECKING:
    import torch

ParameterGroups = list[tuple[list[re.Pattern[str]], dict[str, Any]] | tuple[list[re.Pattern[str]]]]
"""The parameter groups of a config: the expressions of each group and its optional options."""

_SHOWN = 40  # names in a message that helps to find the right expression
_FEW = 5  # names in a message where further ones add nothing


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
