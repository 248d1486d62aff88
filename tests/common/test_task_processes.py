"""Tasks in processes: each has one result, whatever happens to the processes."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path

import pytest
from fixtures.process_tasks import broken, working

from allencv_al.common import task_processes
from allencv_al.common.task_processes import Lost, TaskHooks

pytestmark = pytest.mark.slow  # each test starts processes


def test_each_task_has_one_result_and_a_dead_processs_task_is_done_by_another(
    tmp_path: Path,
) -> None:
    tasks = ["waits for ok", "dies once", "dies", "ok"]
    told: list[str] = []
    begun: list[str] = []
    hooks = TaskHooks[str](begun.append, lambda task, message: told.append(message))
    found = list(task_processes.run_in_processes(tasks, 2, partial(working, tmp_path), 1, hooks))
    assert len(found) == len(tasks)
    assert dict(found) == {
        "ok": "OK",
        "waits for ok": "WAITS FOR OK",
        "dies once": "DIES ONCE",
        "dies": Lost("its process ended (exit code -9) in 3 attempts"),
    }
    assert begun.count("dies") == 3
    assert begun.count("dies once") == 2
    assert set(told) == {f"begun {task}" for task in tasks}


def test_processes_that_never_become_ready_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_processes, "_MOST_DEATHS_IN_A_ROW", 3)
    found = dict(task_processes.run_in_processes([1, 2], 2, broken))
    assert found == dict.fromkeys(
        [1, 2], Lost("not run: processes end before they have done anything")
    )


def test_a_closed_run_leaves_no_process(tmp_path: Path) -> None:
    run = task_processes.run_in_processes(["ok", "b", "c"], 2, partial(working, tmp_path))
    next(run)
    run.close()
    assert multiprocessing.active_children() == []
