"""Many names in one message."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 5


def listed(names: Sequence[str], most: int = _MOST) -> str:
    """Return the first few names, and how many there are besides: `a, b, c and 7 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
