"""The schedule of the first transformer, against its formula."""

from __future__ import annotations

import pytest
from fixtures.step_schedules import make, rates


def test_noam() -> None:
    scheduler = make({"type": "noam", "model_size": 64, "warmup_steps": 8, "factor": 2.0})
    for step in range(1, 20):
        scheduler.step_batch(step)
        expected = 2 * 64**-0.5 * min(step**-0.5, step * 8**-1.5)
        assert rates(scheduler.optimizer) == pytest.approx([expected, expected])
