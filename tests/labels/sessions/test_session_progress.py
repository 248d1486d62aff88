"""Progress and pace."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_answers import label

from allencv_al.labels.sessions.labeling_store import LabelingStore


def test_the_pace_leaves_out_what_a_clock_said_that_was_set_back(
    store: LabelingStore, clock: Any
) -> None:
    for item in (1, 2, 3):
        label(store, "anna", item)
    with store.database.transaction() as connection:  # as if said at these times
        connection.execute("DROP TRIGGER label_event_no_update")
        for event, seconds in ((1, 5_000.0), (2, -20.0), (3, -10.0)):
            connection.execute(
                "UPDATE label_event SET time = ? WHERE event_id = ?", (clock.now + seconds, event)
            )
    assert store.counts.progress(1, "anna").labels_per_minute == pytest.approx(6)
