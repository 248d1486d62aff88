"""Why images were picked, with names in the place of a strategy's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def named_reason(
    reason: Mapping[str, Any], classes: Mapping[int, str], labeled: Sequence[str]
) -> dict[str, Any]:
    """Return a reason with the names of classes and the ids of labeled items.

    Args:
        reason: What a strategy says of a pick; it knows classes and labeled items by number.
        classes: The names of the classes, by number.
        labeled: The ids of the labeled items, in the order in which the strategy saw them.
    """
    items = dict(enumerate(labeled))
    names = {"predicted": classes, "runner_up": classes, "nearest_labeled": items}
    return {
        key: names[key].get(value, value) if key in names else value
        for key, value in reason.items()
    }
