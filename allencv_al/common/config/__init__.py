"""From configs to objects: parameters, registries, checks and construction."""

from collections.abc import Callable
from typing import Any

translators: list[Callable[[dict[str, Any]], None]] = []
"""Called with the config of each experiment; higher floors register how old keys are translated."""
