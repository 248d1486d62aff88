"""What tests of comparisons share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


@pytest.fixture
def config(linear_config: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the config of the runs that are compared."""
    return linear_config(budget=8)
