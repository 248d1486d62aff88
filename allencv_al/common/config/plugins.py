"""User code: packages named on the command line, and installed packages with an entry point.

Nothing is picked up because it lies in the current folder.
"""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

from allencv_al.common.errors import AllenCVError, ConfigurationError

ENTRY_POINT_GROUP = "allencv_al.plugins"

_OWN_PACKAGE = __name__.partition(".")[0]
_NOT_COMPONENTS = ("__main__", "conftest", "setup", "tests")

_included_packages: set[str] = set()
_plugin_packages: set[str] = set()
_registered_names_only: ContextVar[bool] = ContextVar("registered_names_only", default=False)


def import_package(name: str) -> None:
    """Import a module, or a package with everything below it, so that its classes register.

    Args:
        name: A dotted module name, as after `--include-package`.

    Raises:
        ConfigurationError: There is no such module, or it fails on import.
    """
    if not _is_module_name(name):
        raise _no_module_name(name)
    module = _import(name, name)
    _included_packages.add(name.partition(".")[0])
    _import_below(module, name)


def _is_module_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _import_below(module: ModuleType, asked_for: str) -> None:
    for found in pkgutil.iter_modules(getattr(module, "__path__", []), f"{module.__name__}."):
        if found.name.rpartition(".")[2] not in _NOT_COMPONENTS:
            _import_below(_import(found.name, asked_for), asked_for)


def import_plugins() -> None:
    """Import every installed package that has an entry point in the group `allencv_al.plugins`."""
    from importlib import metadata  # a third of the time of importing this floor

    for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        _plugin_packages.add(entry_point.module.partition(".")[0])
        try:
            entry_point.load()
        except (Exception, SystemExit) as error:
            raise ConfigurationError(
                f"plugin {entry_point.name} ({entry_point.value}) fails on import: {_reason(error)}"
            ) from error


def included_packages() -> frozenset[str]:
    """Return the top packages that `import_package` has imported."""
    return frozenset(_included_packages)


def is_user_module(name: str) -> bool:
    """Return whether a module is user code: a script, included, or of an installed plugin."""
    top = name.partition(".")[0]
    # Commands of AllenCV's tutorial include parts of this package, which are no user's
    return top != _OWN_PACKAGE and top in {"__main__", *_included_packages, *_plugin_packages}


def is_included(top_package: str) -> bool:
    """Return whether dotted names of `top_package` may stand in a config."""
    return top_package in _included_packages and not _registered_names_only.get()


def is_from_elsewhere() -> bool:
    """Return whether what is built is described by a config from elsewhere, as an archive's is."""
    return _registered_names_only.get()


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
        # The module itself is absent; one that it imports is a fault of its own, reported below
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            if name.endswith(".py"):
                raise _no_module_name(name) from error
            raise ConfigurationError(
                f"--include-package {asked_for}: no module named {error.name!r} is installed; "
                "for a module in the current folder, put PYTHONPATH=. before the command"
            ) from error
        raise _failure(asked_for, name, error) from error
    except (Exception, SystemExit) as error:
        raise _failure(asked_for, name, error) from error


def _no_module_name(name: str) -> ConfigurationError:
    dotted = name.removesuffix(".py").strip("./").replace("/", ".").replace("-", "_")
    example = dotted if _is_module_name(dotted) else "my_package.readers"
    return ConfigurationError(f"--include-package {name}: expected a module name such as {example}")


def _failure(asked_for: str, name: str, error: BaseException) -> ConfigurationError:
    return ConfigurationError(
        f"--include-package {asked_for}: {name} fails on import: {_reason(error)}"
    )


def _reason(error: BaseException) -> str:
    """Return the error with the line that raised it, which no traceback will show."""
    if isinstance(error, AllenCVError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return text  # names the line itself
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if not frame.filename.startswith("<frozen ")][-1:]
    return "".join([text, *(f" ({frame.filename}:{frame.lineno})" for frame in ours)])
