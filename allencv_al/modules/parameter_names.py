"""Regular expressions on parameter names, as initializers and regularizers use them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from allencv_al.common.config.names import listed
from allencv_al.common.errors import ConfigurationError

_LISTED = 20


def compiled(pattern: re.Pattern[str] | str) -> re.Pattern[str]:
    """Return the expression; Python callers may give its text.

    Raises:
        ConfigurationError: It does not compile.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"{pattern!r} is not a regular expression: {error}") from error


def unmatched_error(
    owner: str, pattern: re.Pattern[str], names: Sequence[str]
) -> ConfigurationError:
    """Return the error for an expression that is found in no parameter's name."""
    return ConfigurationError(
        f"{owner}: the regular expression {pattern.pattern!r} is found in no parameter's name. "
        f"The parameters are {listed(names, _LISTED)}"
    )
