"""Class names that look like another one misspelt, where any name is allowed."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from allencv_al.labels.annotators.filled_table import WORDS, FilledTable

_LIKENESS = 0.8  # "catt" and "cat" have 0.86, "cat" and "bat" 0.67


def without_typos(table: FilledTable, seen: Sequence[str]) -> FilledTable:
    """Return the table with new class names that look like a commoner one as wrong labels.

    A class cannot be taken back.

    Args:
        table: What it says.
        seen: The names of earlier rounds, which are taken to be right.
    """
    problems = {}
    counts = Counter(label for label in table.labels.values() if label not in WORDS)
    known = [*dict.fromkeys(seen)]
    for name, _ in counts.most_common():  # the commoner one is taken to be right
        if name in known:
            continue
        near = next((other for other in known if _look_alike(name, other)), None)
        if near is not None:
            lines = [table.lines[id] for id, label in table.labels.items() if label == name]
            problems[name] = f'line {min(lines)}: "{name}" looks like "{near}" misspelt'
        known.append(name)
    return replace(
        table,
        labels={id: name for id, name in table.labels.items() if name not in problems},
        wrong=[*table.wrong, *problems.values()],
    )


def _look_alike(name: str, other: str) -> bool:
    first, second = (" ".join(re.split(r"[\s_-]+", text.casefold())) for text in (name, other))
    if first == second:
        return True
    if re.sub(r"\d+", "", first) == re.sub(r"\d+", "", second):
        return False  # type 1, type 2
    return difflib.SequenceMatcher(None, first, second).ratio() >= _LIKENESS
