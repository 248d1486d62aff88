"""The user's own code behind a config, so that results of other code are not taken for its."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

from allencv_al.common.config.plugins import included_packages
from allencv_al.common.config.registrable import registered_anywhere

_OURS = __name__.partition(".")[0]


def user_code(config: Any) -> dict[str, str]:
    """Return the modules outside this package that a config's components come from.

    Counted are the modules of the components, and what these import from the user's packages. What
    else a component depends on (files, installed packages) is not.

    Args:
        config: A config or a part of it, checked.

    Returns:
        The SHA-256 of the source by the name of the module.
    """
    names = set(_texts(config))
    begun = {made.__module__ for name in names for made in registered_anywhere(name)}
    begun |= {name.rpartition(".")[0] for name in names if _top(name) in included_packages()}
    packages = {_top(name) for name in begun} | included_packages()
    found: dict[str, str] = {}
    waiting = [name for name in begun if _top(name) != _OURS]
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        source = None if module is None or name in found else _source(module)
        if module is not None and source is not None:
            found[name] = hashlib.sha256(source).hexdigest()
            imported = [name.rpartition(".")[0], *_imported(source, module)]
            waiting += [one for one in imported if _top(one) in packages and _top(one) != _OURS]
    return dict(sorted(found.items()))


def changed_code(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the modules whose source is not what it was, or that only one of the two has."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _top(name: str) -> str:
    return name.partition(".")[0]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _source(module: ModuleType) -> bytes | None:
    """Return the source of a module; None where it has none, as in a notebook."""
    try:
        return Path(module.__file__ or "").read_bytes()
    except (OSError, AttributeError):
        return None


def _imported(source: bytes, module: ModuleType) -> Iterator[str]:
    """Yield the names of what a source imports; some are modules, some are in a module."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # compiled code
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dotted = "." * node.level + (node.module or "")
            base = resolve_name(dotted, module.__package__) if node.level else dotted
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
