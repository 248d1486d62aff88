"""A loop that is done waits for the pages that are open."""

from __future__ import annotations

import threading
import time

from allencv_al.service.labeling.loop_state import Audience


def seconds_of_waiting(audience: Audience) -> float:
    began = time.monotonic()
    audience.wait(5)
    return time.monotonic() - began


def test_nobody_is_waited_for_where_no_page_is_open() -> None:
    assert seconds_of_waiting(Audience()) < 1


def test_it_waits_until_each_page_knows() -> None:
    audience = Audience()
    for name in ("Anna", "Ben"):
        audience.on_session(name, is_finished=True)  # before the files were written
    timers = [
        threading.Timer(after, audience.on_session, (name, True))
        for name, after in (("Anna", 0.05), ("Ben", 0.3))
    ]
    for timer in timers:
        timer.start()
    assert 0.2 < seconds_of_waiting(audience) < 3
    for timer in timers:
        timer.join()
