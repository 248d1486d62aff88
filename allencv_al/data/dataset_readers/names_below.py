"""Names of folders that a reader looks for in the folder that it is given."""

from __future__ import annotations

import re

from allencv_al.common.config.plugins import is_from_elsewhere
from allencv_al.common.errors import ConfigurationError


def check_names_below(**names: str | None) -> None:
    """Raise where a name leads out of the data and the config is from elsewhere.

    An archive says how its data were laid out; which folders are read, says who reads.

    Args:
        names: What each parameter of the reader names.

    Raises:
        ConfigurationError: One is absolute, or goes up; all of them are named.
    """
    wrong = [name for name, value in names.items() if value is not None and _leads_out(value)]
    if wrong and is_from_elsewhere():
        shown = ", ".join(f"{name} ({names[name]!r:.80})" for name in wrong)
        raise ConfigurationError(
            f"{shown}: an archive's reader reads below the folder that it is given only; name a "
            "folder in it with --overrides"
        )


def _leads_out(value: str) -> bool:
    parts = re.split(r"[/\\\\]", value)
    return (parts[0] == "" and len(parts) > 1) or ".." in parts or ":" in parts[0]
