"""Progress and pace."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_answers import CAT, LABEL, MakeStore, label

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


def test_a_page_of_images_is_one_step_of_the_pace(make_store: MakeStore, clock: Any) -> None:
    store = make_store(40)
    for number in range(3):
        items = range(1 + 10 * number, 11 + 10 * number)
        store.answers.add_group("anna", f"page-{number}", dict.fromkeys(items, (LABEL, CAT)))
    with store.database.transaction() as connection:  # 20 s a page; its labels a moment apart
        connection.execute("DROP TRIGGER label_event_no_update")
        connection.execute(
            "UPDATE label_event SET time = ? + 20 * ((event_id - 1) / 10) + 0.001 * event_id",
            (clock.now - 60,),
        )
    assert store.counts.progress(1, "anna").labels_per_minute == pytest.approx(30, rel=0.01)
