"""The state of a loop for its page; a loop that is done waits for the pages that are open."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path

import pytest

from allencv_al.labels.label_store import LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State
from allencv_al.service.labeling.loop_state import Audience, LoopState


def write_run(folder: Path, stop: list[object]) -> None:
    """Write a run of six audited rounds, whose errors fall by a factor in each."""
    with RunDatabase(folder / DATABASE_NAME) as database:
        rounds = RoundStore(database)
        LabelStore(database).add(
            [NewLabel(f"{n}.png", "a", "Anna", 0, "x", seconds=3.0) for n in (1, 2)]
        )
        for number in range(1, 7):
            rounds.finish(
                number, State.TRAIN, {"labels": 100 * number, "classes": ["a"], "seconds": 1.0}
            )
            accuracy = 1 - 0.5 * math.exp(-number / 3)
            metrics = {"audit_accuracy": accuracy, "audit_low": accuracy - 0.1}
            metrics |= {"audit_high": 1.0, "audit_labels": 4000.0}
            rounds.finish(number, State.INFER, {"metrics": metrics, "seconds": 1.0})
    config = {"trainer": "logistic_regression", "active_learning": {"stop": stop}}
    (folder / "config.json").write_text(json.dumps(config))


def test_the_page_gets_accuracy_and_forecast(tmp_path: Path) -> None:
    write_run(tmp_path, [{"type": "target_metric", "metric": "audit_accuracy", "value": 0.95}])
    state = LoopState(tmp_path, is_here=True)
    found = state.read(batch_is_open=True)
    state.close()
    assert found.rounds[-1].audited == "93.2 % (83.2 to 100.0 %) by 4000 audited images"
    assert found.forecast.startswith("95 % needs ")
    assert found.forecast.endswith(" at your pace.")


def test_the_page_gets_the_interval_of_the_test_set(tmp_path: Path) -> None:
    write_run(tmp_path, [])
    with RunDatabase(tmp_path / DATABASE_NAME) as database:
        detail = {"metrics": {"accuracy": 0.9}, "confusion_matrix": [[90, 10], [0, 0]]}
        RoundStore(database).finish(6, State.TEST, {**detail, "classes": ["a"], "seconds": 1.0})
    state = LoopState(tmp_path, is_here=True)
    rounds = state.read(batch_is_open=True).rounds
    state.close()
    assert (rounds[-1].accuracy, rounds[-1].tested) == (0.9, "90.0 % (82.6 to 94.5 %)")
    assert rounds[0].tested is None


@pytest.mark.parametrize("stop", [[], ["of_another_package"]])
def test_without_a_target_that_is_known_half_of_the_errors_are_forecast(
    stop: list[object], tmp_path: Path
) -> None:
    write_run(tmp_path, stop)
    state = LoopState(tmp_path, is_here=True)
    assert state.read(batch_is_open=True).forecast.startswith("96.62 % needs ")
    state.close()


def seconds_of_waiting(audience: Audience) -> float:
    began = time.monotonic()
    audience.wait(5)
    return time.monotonic() - began


def test_without_an_open_page_there_is_no_wait() -> None:
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
