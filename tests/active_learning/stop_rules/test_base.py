"""What every stop rule shares."""

from __future__ import annotations

from allencv_al.active_learning.stop_rules import StopRule


def test_only_stable_predictions_wants_them_kept() -> None:
    wanting = {
        name
        for name in StopRule.list_available()
        if StopRule.resolve(name)[0].needs_agreement  # type: ignore[attr-defined]
    }
    assert wanting == {"stable_predictions"}
