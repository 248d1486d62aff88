"""`allencv-al describe`: what a config can name, and the parameters of each."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from allencv_al.commands.arguments import add_include_package
from allencv_al.commands.registries import REGISTRIES, load_registry
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import did_you_mean

if TYPE_CHECKING:
    from allencv_al.common.object_specs import Target
    from allencv_al.common.registrable import Registrable
    from allencv_al.common.signatures import Argument

NAME = "describe"
HELP = "list what a config can name, and the parameters of each"

EXPERIMENT = "experiment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument(
        "registry",
        nargs="?",
        metavar="REGISTRY",
        help="a family of components, such as dataset_reader, or experiment for the keys at the "
        "top of a config; without it all families are listed",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="one component, whose parameters are shown"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON Schema: of a whole experiment file, of a family, or of one component",
    )
    add_include_package(parser)


def run(args: argparse.Namespace) -> int:
    """Print the description."""
    if args.json:
        sys.stdout.write(json.dumps(_schema(args.registry, args.name), indent=2) + "\n")
    elif args.registry is None:
        sys.stdout.write(_list_families())
    elif args.registry == EXPERIMENT:
        sys.stdout.write(_describe_experiment())
    elif args.name is None:
        sys.stdout.write(_list_names(_family(args.registry)))
    else:
        sys.stdout.write(_describe(_family(args.registry), args.name))
    return 0


def _families() -> dict[str, type[Registrable]]:
    """Return this package's families and those that user code has added."""
    from allencv_al.common.registrable import families

    found = {name: load_registry(name) for name in REGISTRIES}
    for base in families():
        if base not in found.values():
            found.setdefault(base.registry_name(), base)
    return found


def _family(name: str) -> type[Registrable]:
    families = _families()
    if name not in families:
        raise ConfigurationError(
            f'no registry is called "{name}"'
            + (did_you_mean(name, families) or f"; known: {', '.join(families)}")
        )
    return families[name]


def _list_families() -> str:
    lines = []
    for name, base in _families().items():
        lines.append(f"{name}: {_summary(base)}")
        lines.append(_wrap(", ".join(base.list_available()) or "(none registered)", "    "))
    lines.append("")
    lines.append("allencv-al describe experiment shows the keys at the top of a config,")
    lines.append(
        "allencv-al describe REGISTRY says what each does, "
        "allencv-al describe REGISTRY NAME shows its parameters."
    )
    return "\n".join(lines) + "\n"


def _list_names(base: type[Registrable]) -> str:
    lines = [f"{base.registry_name()}: {_summary(base)}"]
    for name in base.list_available():
        default = " (default)" if name == base.default_implementation else ""
        lines.append(f"  {name}{default}")
        lines.append(_wrap(_summary(base.resolve(name)[0]), "      "))
    return "\n".join(lines) + "\n"


def _describe_experiment() -> str:
    from allencv_al.common.object_specs import Target
    from allencv_al.training.experiment import Experiment

    return _describe_target("the keys at the top of a config", Target(Experiment))


def _describe(base: type[Registrable], name: str) -> str:
    from allencv_al.common.object_specs import Target

    target = Target(*base.resolve(name))
    title = f'{base.registry_name()} "{name}" ({target.cls.__module__}.{target.cls.__name__})'
    return _describe_target(title, target)


def _describe_target(title: str, target: Target) -> str:
    import inspect

    text = inspect.getdoc(target.cls) or ""
    introduction = text.partition("\nArgs:")[0].strip()
    lines = [title, "", introduction, "", "parameters:"]
    arguments = target.signature.arguments.values()
    own = [argument for argument in arguments if argument.name not in target.cls.injected]
    for argument in own:
        lines.append(f"  {argument.name}: {_type_and_default(argument)}")
        lines.append(_wrap(argument.description or "(not documented)", "      "))
    if not own:
        lines.append("  none")
    given = [argument.name for argument in arguments if argument.name in target.cls.injected]
    if given:
        lines += ["", f"given by the program: {', '.join(given)}"]
    return "\n".join(lines) + "\n"


def _type_and_default(argument: Argument) -> str:
    from allencv_al.common.annotations import spec_of
    from allencv_al.common.names import repr_json

    kind = str(spec_of(argument.annotation))
    if argument.required:
        return f"{kind}, required"
    shown = argument.default if not hasattr(argument.default, "construct") else "built by default"
    return f"{kind}, default {repr_json(shown)}"


def _schema(registry: str | None, name: str | None) -> dict[str, Any]:
    from allencv_al.common.object_specs import ObjectSpec

    definitions: dict[str, Any] = {}
    if registry in (None, EXPERIMENT):
        from allencv_al.training.experiment import Experiment

        root = ObjectSpec(Experiment).json_schema(definitions)
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


def _summary(cls: type) -> str:
    from allencv_al.common.docstrings import summary

    return summary(cls)


def _wrap(text: str, indent: str) -> str:
    width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
