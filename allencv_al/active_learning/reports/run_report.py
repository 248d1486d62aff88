"""`report.html` of one run: its curve, its rounds, what each asked for, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.round_record import RoundRecord

FILE_NAME = "report.html"

Thumbnails = Callable[[str], bytes | None]
"""Gives the PNG or JPEG bytes of an item's thumbnail, or None where it has none."""


@dataclass(frozen=True)
class RunContext:
    """What a report says of a run beside its rounds.

    Args:
        name: What the run is called: the name of its folder.
        strategy: What chose the items, in a few words.
        annotator: Who labeled them.
        retrain: How the model began each round: `cold`, `warm` or `shrink_perturb`.
        test_items: How many images it was measured on.
        config: The whole config.
        environment: Versions and hardware, as `describe_environment()` gives them; left out, those
            of this process.
    """

    name: str
    strategy: str = ""
    annotator: str = ""
    retrain: str = ""
    test_items: int | None = None
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None


def write_run_report(
    folder: Path,
    records: Sequence[RoundRecord],
    context: RunContext,
    thumbnail: Thumbnails | None = None,
) -> Path:
    """Write `report.html`, which holds everything it shows, and return its path.

    Args:
        folder: The folder of the run.
        records: Its rounds so far; there may be none.
        context: What else is known of it.
        thumbnail: Gives the pictures of the picks; left out, they are shown by name.
    """
    raise NotImplementedError
