"""`learning_curve.png`: accuracy over labels, a line per strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from allencv_al.active_learning.reports.curve_lines import CurveLine

FILE_NAME = "learning_curve.png"


def write_learning_curve(
    path: Path, lines: Sequence[CurveLine], title: str = "", y_label: str = "accuracy"
) -> None:
    """Draw accuracy over labels, with the band of each line that has one.

    Args:
        path: The PNG file to write.
        lines: From `run_lines(records)` or `comparison_lines(summary)`; none give an empty frame
            that says so.
        title: What stands above it.
        y_label: What was measured.
    """
    raise NotImplementedError
