"""What tests of comparisons share."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from allencv_al.comparison import comparison
from allencv_al.comparison.report import comparison_report
from allencv_al.reports.line_chart import PageChart


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures empty, which would take longer than the runs of a test."""
    nothing = PageChart(Markup(""), Markup(""), {})
    monkeypatch.setattr(comparison_report, "page_chart", lambda *_: nothing)
    monkeypatch.setattr(comparison, "write_line_chart", lambda path, *_: path.touch())
