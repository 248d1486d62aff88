"""Progress and lock of an experiment's loops, in files that processes share."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from allencv_al.common import unix
from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import make_folder, write_json
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.state.storage import check_id

LOCK_NAME = "pipeline.lock"


@contextmanager
def busy(folder: Path, what: str) -> Iterator[None]:
    """Keep every other request, thread and process from running functions meanwhile.

    Args:
        folder: Of the pipeline's state.
        what: What is done, to be told to others.

    Raises:
        PipelineError: Another one is at work (409).
    """
    make_folder(folder)
    with (folder / LOCK_NAME).open("a+") as file:
        try:
            unix.lock(file)
        except BlockingIOError:
            file.seek(0)
            doing = file.read(200).partition("\n")[0] or "another request"
            raise PipelineError(409, "busy", f"the pipeline is busy with {doing}") from None
        file.truncate(0)
        file.write(f"{what}\n{os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
            unix.unlock(file)


def is_busy(folder: Path) -> bool:
    """Return whether a process is at work; a killed one is not, though its note stays.

    The lock is not tried for that: who tries it at the same moment would be refused.

    Args:
        folder: Of the pipeline's state.
    """
    path = folder / LOCK_NAME
    pid = path.read_text().partition("\n")[2] if path.is_file() else ""
    return pid.isdigit() and _is_alive(int(pid))


class ExperimentState:
    """The finished phases of an experiment.

    Args:
        folder: Of the pipeline's state.
        experiment: Its key, of checked ids.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        self._path = folder / "experiments" / f"{experiment}.json"

    def phase(self, loop: int, phase: str, asked: str) -> dict[str, Any] | None:
        """Return what a finished phase has brought, if it was asked for the same.

        Args:
            loop: The loop.
            phase: The phase.
            asked: What tells the same request from another, such as a hash of the records.
        """
        found = self._read().get(str(loop), {}).get(phase)
        if found is None or found["asked"] != asked:
            return None
        detail: dict[str, Any] = found["detail"]
        return detail

    def finished(self, loop: int) -> dict[str, dict[str, Any]] | None:
        """Return what the finished phases of a loop brought, by phase; None if it never began."""
        phases = self._read().get(str(loop))
        if phases is None:
            return None
        return {phase: one["detail"] for phase, one in phases.items()}

    def begin(self, loop: int, phase: str) -> None:
        """Record that a phase begins; what it had brought before, and what followed, is void."""
        state = self._read()
        phases = state.setdefault(str(loop), {})
        names = list(phases)
        for later in names[names.index(phase) :] if phase in names else ():
            del phases[later]
        write_json(self._path, state)

    def finish(self, loop: int, phase: str, asked: str, detail: dict[str, Any]) -> None:
        """Record a finished phase, whose files have to be on the disk."""
        state = self._read()
        value = {"asked": asked, "detail": detail, "time": time.time()}
        state.setdefault(str(loop), {})[phase] = value
        write_json(self._path, state)

    def _read(self) -> dict[str, Any]:
        if not self._path.is_file():
            return {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError as error:
            found = error
        if not isinstance(found, dict):
            raise DataError(
                f"{self._path.name} in the pipeline's state is damaged; remove it, and the loops "
                "of this experiment begin anew"
            )
        return found


class Jobs:
    """Requests that are answered later.

    Args:
        folder: Of the pipeline's state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "jobs"

    def start(self) -> str:
        """Return the id of a new job."""
        job = uuid.uuid4().hex
        self.write(job, "running")
        return job

    def write(self, job: str, state: str, **more: Any) -> None:
        """Store the status of a job."""
        value = {"id": job, "state": state, "pid": os.getpid(), "time": time.time(), **more}
        write_json(self._folder / f"{job}.json", value)

    def read(self, job: str) -> dict[str, Any]:
        """Return the status of a job; one whose process has ended has failed.

        Raises:
            PipelineError: There is none (404).
        """
        path = self._folder / f"{check_id('job', job)}.json"
        if not path.is_file():
            raise PipelineError(404, "not_found", "there is no such job")
        found: dict[str, Any] = json.loads(path.read_text())
        if found["state"] == "running" and not _is_alive(found["pid"]):
            found.update(state="failed", error={"type": "killed", "message": "its process ended"})
        found.pop("pid")
        return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
