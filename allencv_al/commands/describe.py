"""`allencv-al describe`: the components of configs, their parameters, and parameter groups."""

from __future__ import annotations

import argparse
import json
import pkgutil
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.commands.registries import REGISTRIES, load_registry
from allencv_al.commands.shared.arguments import (
    add_include_package,
    add_overrides,
    add_variables,
    positive_int,
    read_config,
)
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import did_you_mean

if TYPE_CHECKING:
    from allencv_al.common.config.registrable import FromParams, Registrable
    from allencv_al.common.config.signatures import Argument
    from allencv_al.common.config.targets import Target


EXPERIMENT = "experiment"
ACTIVE_LEARNING = "active_learning"
PLAIN = {
    EXPERIMENT: ("allencv_al.training.experiment:Experiment", "the keys at the top of a config"),
    ACTIVE_LEARNING: (
        "allencv_al.active_learning.settings:ActiveLearningSettings",
        "the keys of the block active_learning in a config",
    ),
}
"""Parts of a config without a family: the class that takes the keys, and a title."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument(
        "registry",
        nargs="?",
        metavar="REGISTRY",
        help="a family of components, such as dataset_reader; experiment for the top-level "
        "keys of a config, active_learning for the keys of its block (default: list "
        "all families)",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="show the parameters of this component"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON Schema: of a whole experiment file, of a family, or of one component",
    )
    parser.add_argument(
        "--parameter-groups",
        dest="param_path",
        type=Path,
        metavar="CONFIG",
        help="print parameter_groups for the optimizer of this config, one for each block of its "
        "model, as gradual unfreezing wants them; nothing is read but the config",
    )
    parser.add_argument(
        "--blocks-per-group",
        type=positive_int,
        default=1,
        metavar="N",
        help="blocks in one group of --parameter-groups (default: 1)",
    )
    add_variables(parser)
    add_overrides(parser)
    add_include_package(parser)


def run(args: argparse.Namespace) -> int:
    """Print the description."""
    if args.registry in PLAIN and args.name is not None:
        raise ConfigurationError(
            f"{args.registry} is one thing, found {args.name} behind it; "
            "allencv-al describe lists the registries"
        )
    if args.param_path is not None:
        if args.json or args.registry is not None:
            raise ConfigurationError("--parameter-groups stands alone: no REGISTRY, no --json")
        sys.stdout.write(_parameter_groups(args))
    elif args.json:
        sys.stdout.write(json.dumps(_schema(args.registry, args.name), indent=2) + "\n")
    elif args.registry is None:
        sys.stdout.write(_list_families())
    elif args.registry in PLAIN:
        sys.stdout.write(_describe_plain(args.registry))
    elif args.name is None:
        sys.stdout.write(_list_names(_family(args.registry)))
    else:
        sys.stdout.write(_describe(_family(args.registry), args.name))
    return 0


def _parameter_groups(args: argparse.Namespace) -> str:
    from allencv_al.training.experiment import model_on_meta
    from allencv_al.training.optimizers.depth_groups import groups_by_depth

    model = model_on_meta(read_config(args), str(args.param_path))
    groups = map(json.dumps, groups_by_depth(model, args.blocks_per_group))
    return "[\n  " + ",\n  ".join(groups) + "\n]\n"


def _families() -> dict[str, type[Registrable]]:
    """Return the families of this package and of user code."""
    from allencv_al.common.config.registrable import families

    found = {name: load_registry(name) for name in REGISTRIES}
    for base in families():
        if base not in found.values():
            found.setdefault(base.registry_name(), base)
    return found


def _family(name: str) -> type[Registrable]:
    if name in REGISTRIES:
        return load_registry(name)  # importing all families would take seconds
    families = _families()
    if name not in families:
        raise ConfigurationError(
            f'no registry is called "{name}"'
            + (did_you_mean(name, [*families, *PLAIN]) or f"; known: {', '.join(families)}")
        )
    return families[name]


def _list_families() -> str:
    lines = []
    for name, base in _families().items():
        try:
            known = ", ".join(base.list_available()) or "(none registered)"
        except ConfigurationError as error:  # an error of one family must not hide the others
            known = str(error)
        lines += [f"{name}: {_summary(base)}", _wrap(known, "    ")]
    lines += [
        "",
        "allencv-al describe experiment shows the keys at the top of a config,",
        "allencv-al describe active_learning those of its block for active-learn,",
        "allencv-al describe REGISTRY explains the names of a family,",
        "allencv-al describe REGISTRY NAME shows its parameters.",
    ]
    return "\n".join(lines) + "\n"


def _list_names(base: type[Registrable]) -> str:
    from allencv_al.common.config.targets import Target

    lines = [f"{base.registry_name()}: {_summary(base)}"]
    for name in base.list_available():
        try:
            text = _summary(Target(*base.resolve(name)).documented)
        except ConfigurationError as error:  # its extra is not installed
            text = str(error)
        default = " (default)" if name == base.default_implementation else ""
        lines += [f"  {name}{default}", _wrap(text, "      ")]
    return "\n".join(lines) + "\n"


def plain_class(name: str) -> type[FromParams]:
    """Import and return the class of an entry of `PLAIN`."""
    found: type[FromParams] = pkgutil.resolve_name(PLAIN[name][0])
    return found


def _describe_plain(name: str) -> str:
    from allencv_al.common.config.targets import Target

    return _describe_target(PLAIN[name][1], Target(plain_class(name)))


def _describe(base: type[Registrable], name: str) -> str:
    from allencv_al.common.config.targets import Target

    target = Target(*base.resolve(name))
    title = f'{base.registry_name()} "{name}" ({target.cls.__module__}.{target.cls.__name__})'
    return _describe_target(title, target)


def _describe_target(title: str, target: Target) -> str:
    lines = [title, "", introduction(target.documented), "", "parameters:"]
    if target.is_custom:
        return "\n".join([*lines, "  read by the class itself", ""])
    arguments = target.signature.arguments.values()
    own = [argument for argument in arguments if argument.name not in target.injected]
    lines += _parameter_lines(own) or ["  none"]
    given = [argument.name for argument in arguments if argument.name in target.injected]
    if given:
        lines += ["", f"given by the program: {', '.join(given)}"]
    for cls in plain_classes(own):
        lines += ["", *_class_lines(cls)]
    return "\n".join(lines) + "\n"


def introduction(documented: object) -> str:
    """Return the docstring before its sections."""
    import inspect

    text = inspect.getdoc(documented) or ""
    return re.split(r"^(?:Args|Returns|Raises):$", text, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _parameter_lines(arguments: Iterable[Argument]) -> list[str]:
    lines = []
    for argument in arguments:
        lines.append(_wrap(f"{argument.name}: {type_and_default(argument)}", "  ", "    "))
        lines.append(_wrap(argument.description or "(not documented)", "      "))
    return lines


def type_and_default(argument: Argument) -> str:
    """Return the type of a parameter in words, with its default or `required`."""
    from allencv_al.common.config.specs.annotations import spec_of
    from allencv_al.common.files.json_values import repr_json

    kind = str(spec_of(argument.annotation))
    if argument.required:
        return f"{kind}, required"
    shown = argument.default if not hasattr(argument.default, "construct") else "built by default"
    return f"{kind}, default {repr_json(shown)}"


def plain_classes(arguments: Iterable[Argument]) -> list[type]:
    """Return the classes without a registry in the types of arguments, recursively."""
    from allencv_al.common.config.signatures import signature_of
    from allencv_al.common.config.specs.annotations import spec_of
    from allencv_al.common.config.specs.object_specs import DataclassSpec, ObjectSpec

    found: dict[type, None] = {}
    waiting = [spec_of(argument.annotation) for argument in arguments]
    while waiting:
        # Breadth first, so that parts are described in the order in which a reader meets them
        spec = waiting.pop(0)
        waiting += spec.parts
        if isinstance(spec, ObjectSpec) and spec.cls.has_registry():
            continue  # described as a family
        if isinstance(spec, (ObjectSpec, DataclassSpec)) and spec.cls not in found:
            found[spec.cls] = None
            inner = signature_of(spec.cls).arguments.values()
            waiting += [spec_of(argument.annotation) for argument in inner]
    return list(found)


def _class_lines(cls: type) -> list[str]:
    from allencv_al.common.config.signatures import signature_of

    title = f"{cls.__name__}: {_summary(cls)}"
    return [title, *(_parameter_lines(signature_of(cls).arguments.values()) or ["  none"])]


def _schema(registry: str | None, name: str | None) -> dict[str, Any]:
    from allencv_al.common.config.specs.object_specs import ObjectSpec

    definitions: dict[str, Any] = {}
    if registry is None or registry in PLAIN:
        root = ObjectSpec(plain_class(registry or EXPERIMENT)).json_schema(definitions)
    else:
        base = _family(registry)
        root = ObjectSpec(base).json_schema(definitions)
        if name is not None:
            base.resolve(name)  # an unknown name is an error, not an empty schema
            root = {"$ref": f"#/$defs/{base.registry_name()}.{name}"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "$defs": definitions,
    }


def _summary(documented: object) -> str:
    from allencv_al.common.config.signatures import summary

    return summary(documented)


def _wrap(text: str, indent: str, hanging: str | None = None) -> str:
    width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
    )
