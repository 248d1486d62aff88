"""Regular expressions on parameter names, as initializers and regularizers use them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import listed

_LISTED = 20
T = TypeVar("T")


def compiled(pattern: re.Pattern[str] | str) -> re.Pattern[str]:
    """Return the expression; Python callers may give its text.

    Raises:
        ConfigurationError: It does not compile.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"{pattern!r} is not a regular expression: {error}") from error


def first_matches(
    owner: str, pairs: Sequence[tuple[re.Pattern[str], T | None]], names: Sequence[str]
) -> dict[str, T]:
    """Return by name the value of the first expression that is found in it (`re.search`).

    Args:
        owner: The kind of the values, for messages.
        pairs: The expressions with their values; names whose value is None are left out.
        names: The parameters' names.

    Raises:
        ConfigurationError: An expression is found in no name.
    """
    for pattern, _ in pairs:
        if not any(pattern.search(name) for name in names):
            raise unmatched_error(owner, pattern, names)
    first = {name: next((value for p, value in pairs if p.search(name)), None) for name in names}
    return {name: value for name, value in first.items() if value is not None}


def unmatched_error(
    owner: str, pattern: re.Pattern[str], names: Sequence[str]
) -> ConfigurationError:
    """Return the error for an expression that is found in no parameter's name."""
    return ConfigurationError(
        f"{owner}: the regular expression {pattern.pattern!r} is found in no parameter's name. "
        f"The parameters are {listed(names, _LISTED)}"
    )
