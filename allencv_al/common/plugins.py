"""User code: packages named on the command line, and installed packages with an entry point.

Nothing is picked up because it lies in the current folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from types import ModuleType

from allencv_al.common.errors import ConfigurationError

ENTRY_POINT_GROUP = "allencv_al.plugins"

_included_packages: set[str] = set()
_registered_names_only: ContextVar[bool] = ContextVar("registered_names_only", default=False)


def import_package(name: str) -> None:
    """Import a module, or a package with everything below it, so that its classes register.

    Args:
        name: A dotted module name, as after `--include-package`.

    Raises:
        ConfigurationError: There is no such module, or it fails on import.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(
            f"--include-package {name}: expected a module name such as my_package.readers"
        )
    module = _import(name, name)
    _included_packages.add(name.partition(".")[0])
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        if not found.name.endswith(".__main__"):
            _import(found.name, name)


def import_plugins() -> None:
    """Import every installed package that has an entry point in the group `allencv_al.plugins`."""
    for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry_point.load()
        except Exception as error:
            raise ConfigurationError(
                f"plugin {entry_point.name} ({entry_point.value}) fails on import: "
                f"{type(error).__name__}: {error}"
            ) from error


def is_included(top_package: str) -> bool:
    """Say whether dotted names of `top_package` may stand in a config."""
    return top_package in _included_packages and not _registered_names_only.get()


@contextmanager
def registered_names_only() -> Iterator[None]:
    """Refuse dotted types in the block: for configs that come from elsewhere (archives)."""
    token = _registered_names_only.set(True)
    try:
        yield
    finally:
        _registered_names_only.reset(token)


def _import(name: str, asked_for: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"--include-package {asked_for}: no module named {error.name!r} is installed; "
                "for a module in the current folder, put PYTHONPATH=. before the command"
            ) from error
        raise ConfigurationError(
            f"--include-package {asked_for}: {name} fails on import: {error}"
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"--include-package {asked_for}: {name} fails on import: "
            f"{type(error).__name__}: {error}"
        ) from error
