"""A package's public names, imported when first used (PEP 562).

`import allencv_al.data` must not import torch, or `allencv-al --help` would take seconds.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package.

    Args:
        package: The package's `__name__`, for error messages.
        modules: Each public name with the module that defines it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807  PEP 562 wants this name
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)  # not asked again
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *modules})

    return __getattr__, __dir__, sorted(modules)
