"""What a reader passed over, and why: counted, told once, never silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from allencv_al.common.errors import DataError

EXAMPLES_SHOWN = 3
PROBLEMS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something a reader passed over; a reader's `_read` may yield it in place of an instance.

    Args:
        reason: Why, in one or two words (`hidden`, `foreign`); the dataset counts by it.
        name: What, relative to the path that is read.
    """

    reason: str
    name: str


class SkippedCount:
    """Counts by reason, with the first few names of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, skipped: Skipped) -> None:
        """Count one thing that was passed over."""
        self.counts[skipped.reason] = self.counts.get(skipped.reason, 0) + 1
        examples = self._examples.setdefault(skipped.reason, [])
        if len(examples) < EXAMPLES_SHOWN:
            examples.append(skipped.name)

    def __str__(self) -> str:
        parts = []
        for reason, count in sorted(self.counts.items()):
            examples = self._examples[reason]
            more = ", ..." if count > len(examples) else ""
            parts.append(f"{count} {reason} ({', '.join(examples)}{more})")
        return ", ".join(parts) or "nothing"


def raise_problems(where: object, problems: Iterable[str], remedy: str = "") -> None:
    """Raise one DataError that lists the first problems and counts the rest; none is fine.

    Args:
        where: The file or what else has them.
        problems: What is wrong.
        remedy: What to do about it, for the end.
    """
    listed = list(problems)
    if not listed:
        return
    count = "1 problem" if len(listed) == 1 else f"{len(listed)} problems"
    lines = [f"{where}: {count}:", *(f"  {problem}" for problem in listed[:PROBLEMS_SHOWN])]
    if len(listed) > PROBLEMS_SHOWN:
        lines.append(f"  ... and {len(listed) - PROBLEMS_SHOWN} more")
    raise DataError("\n".join([*lines, remedy] if remedy else lines))
