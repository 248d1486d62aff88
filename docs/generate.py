"""The pages of the reference that follow from the code: components, commands, Python names."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from allencv_al.__main__ import build_parser
from allencv_al.commands.describe import (
    PLAIN,
    introduction,
    plain_class,
    plain_classes,
    type_and_default,
)
from allencv_al.commands.registries import REGISTRIES, load_registry
from allencv_al.commands.table import SUBCOMMANDS
from allencv_al.common.config.signatures import Argument, signature_of, summary
from allencv_al.common.config.targets import Target

PUBLIC_PACKAGES = (
    "allencv_al",
    "allencv_al.active_learning",
    "allencv_al.common",
    "allencv_al.data",
    "allencv_al.metrics",
    "allencv_al.models",
    "allencv_al.modules",
    "allencv_al.predictors",
    "allencv_al.training",
)
CODE_SPAN = re.compile(r"(`+[^`]+`+)")
MARKUP = re.compile(r"[\\*_\[\]{}|$~<>]")


def write_pages(folder: Path) -> None:
    """Write all generated pages anew, below `folder`."""
    components = {name: component_page(name) for name in REGISTRIES}
    components |= {f"{name}_keys": plain_page(name) for name in PLAIN}
    commands = {name: command_page(name) for name in SUBCOMMANDS}
    names = {package: python_page(package) for package in PUBLIC_PACKAGES}
    write_group(folder / "components", "Components", COMPONENTS_INTRODUCTION, components)
    write_group(folder / "commands", "The command line", COMMANDS_INTRODUCTION, commands)
    write_group(folder / "python", "Python names", PYTHON_INTRODUCTION, names)


COMPONENTS_INTRODUCTION = """\
Every name that a config can hold, with its parameters: what `allencv-al describe` prints for the
version of this page. `allencv-al describe --json` prints the same as a JSON Schema for editors."""
COMMANDS_INTRODUCTION = """\
Commands print results on stdout, messages and progress on stderr. Exit codes: 0 success, 1 a
failure during the work (a full disk, for one), 2 a mistake in the command, the config or the data,
130 an interrupt."""
PYTHON_INTRODUCTION = """\
The public names. Import them from these packages: deeper module paths may change without notice
([deprecation policy](../../explanation/deprecation.md))."""


def write_group(folder: Path, title: str, text: str, pages: dict[str, str]) -> None:
    """Write `pages` and their index; pages whose text is the same keep their time stamp."""
    wanted = {folder / f"{name}.md": page for name, page in pages.items()}
    toctree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *pages, "```"])
    wanted[folder / "index.md"] = f"# {title}\n\n{text}\n\n{toctree}\n"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in set(folder.iterdir()) - set(wanted):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    for path, page in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != page:
            path.write_text(page, encoding="utf-8")


def prose(text: str) -> str:
    """Return text of a docstring or a help line as Markdown that shows it literally."""
    paragraphs = text.replace("::\n", ":\n").split("\n\n")
    return "\n\n".join(p if p.startswith("    ") else escaped(p) for p in paragraphs)


def escaped(text: str) -> str:
    """Return `text` with Markdown's signs escaped, except in spans of code."""
    parts = CODE_SPAN.split(text)
    parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def component_page(family: str) -> str:
    """Return the page of a family: each registered name with its parameters."""
    base = load_registry(family)
    lines = [f"# {family}", "", prose(summary(base)), ""]
    if base.default_implementation:
        lines += [f"Without a `type`, a config means `{base.default_implementation}`.", ""]
    for name in base.list_available():
        target = Target(*base.resolve(name))
        lines += [f"## `{name}`", "", prose(introduction(target.documented)), ""]
        lines += target_lines(target)
    return "\n".join(lines) + "\n"


def plain_page(name: str) -> str:
    """Return the page of a part of a config that has no family."""
    cls = plain_class(name)
    lines = [f"# {name}: {PLAIN[name][1]}", "", prose(introduction(cls)), ""]
    return "\n".join([*lines, *target_lines(Target(cls))]) + "\n"


def target_lines(target: Target) -> Iterator[str]:
    """Yield the parameters of a class, and those of the classes that they are made of."""
    if target.is_custom:
        yield "The class reads its parameters itself."
        return
    arguments = target.signature.arguments.values()
    own = [argument for argument in arguments if argument.name not in target.injected]
    yield from parameter_lines(own)
    for cls in plain_classes(own):
        yield from (f"**{cls.__name__}**: {prose(summary(cls))}", "")
        yield from parameter_lines(signature_of(cls).arguments.values())


def parameter_lines(arguments: Iterable[Argument]) -> Iterator[str]:
    """Yield a list of parameters."""
    lines = [
        f"* `{argument.name}` ({prose(type_and_default(argument))}): {prose(argument.description)}"
        for argument in arguments
    ]
    yield from lines or ["No parameters."]
    yield ""


def command_page(name: str) -> str:
    """Return the page of a subcommand, from its parser."""
    subparsers = next(
        action
        for action in build_parser(name)._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return "\n".join([f"# {name}", "", *parser_lines(subparsers.choices[name])]) + "\n"


def parser_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the usage and the arguments of a parser, then those of its subcommands."""
    yield from (prose(parser.description or ""), "")
    yield from ("```text", parser.format_usage().removeprefix("usage: ").rstrip(), "```", "")
    nested = []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        for action in actions:
            if isinstance(action, argparse._SubParsersAction):
                nested += list(action.choices.items())
        listed = [a for a in actions if not isinstance(a, argparse._SubParsersAction)]
        if listed:
            yield from (f"**{group.title}**", "")
            yield from (f"* {argument_words(parser, action)}" for action in listed)
            yield ""
    for name, child in nested:
        yield from (f"## {name}", "")
        yield from parser_lines(child)


def argument_words(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return an argument's spellings and its help."""
    formatter = parser._get_formatter()
    spelled = formatter._format_action_invocation(action)
    return f"`{spelled}`: {prose(formatter._expand_help(action)) if action.help else ''}"


def python_page(package: str) -> str:
    """Return the page of a package: its exported names, documented from their docstrings."""
    module = importlib.import_module(package)
    lines = [f"# {package}", "", prose(inspect.getdoc(module) or ""), ""]
    for name in sorted(module.__all__):
        home = home_of(name, getattr(module, name))
        if home != package:
            lines += [f"* {{py:obj}}`{home}.{name}`"]
            continue
        kind = "class" if inspect.isclass(getattr(module, name)) else "function"
        lines += ["", "```{eval-rst}", f".. auto{kind}:: {package}.{name}", "```"]
    return "\n".join(lines) + "\n"


def home_of(name: str, thing: object) -> str:
    """Return the package that documents a name which several export: the deepest."""
    exporting = [
        package
        for package in PUBLIC_PACKAGES
        if getattr(importlib.import_module(package), name, None) is thing
    ]
    return max(exporting, key=lambda package: package.count("."))
