"""Class names that look like another one misspelt, where any name is allowed."""

from __future__ import annotations

import difflib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from allencv_al.active_learning.annotators.filled_table import WORDS, FilledTable

logger = logging.getLogger(__name__)

_LIKENESS = 0.8  # "catt" and "cat" have 0.86, "cat" and "bat" 0.67


def warn_of_typos(path: Path, table: FilledTable, seen: Sequence[str]) -> None:
    """Log a warning for each new class name that looks like a commoner one.

    Args:
        path: The table's file.
        table: What it says.
        seen: The names of earlier rounds, which are taken to be right.
    """
    counts = Counter(label for label in table.labels.values() if label not in WORDS)
    known = [*dict.fromkeys(seen)]
    for name, _ in counts.most_common():  # the commoner one is taken to be right
        if name in known:
            continue
        near = next((other for other in known if _look_alike(name, other)), None)
        if near is not None:
            lines = [table.lines[id] for id, label in table.labels.items() if label == name]
            logger.warning(
                '%s line %d: is "%s" meant to be "%s"? It is taken as a class of its own',
                path,
                min(lines),
                name,
                near,
            )
        known.append(name)


def _look_alike(name: str, other: str) -> bool:
    first, second = (" ".join(re.split(r"[\s_-]+", text.casefold())) for text in (name, other))
    if first == second:
        return True
    if re.sub(r"\d+", "", first) == re.sub(r"\d+", "", second):
        return False  # type 1, type 2
    return difflib.SequenceMatcher(None, first, second).ratio() >= _LIKENESS
