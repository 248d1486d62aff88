"""State of experiments and the pipeline's lock: files shared by processes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from allencv_al.common import process
from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import make_folder, write_json
from allencv_al.service.pipeline.pipeline_errors import PipelineError

LOCK_NAME = "pipeline.lock"
_LONGEST_KEY = 200  # characters; file systems allow 255 bytes, with suffix and temporary prefix


@contextmanager
def busy(folder: Path, what: str) -> Iterator[None]:
    """Hold the pipeline's lock, against other threads and processes, during the block.

    Args:
        folder: Folder of the pipeline's state.
        what: Description of the work, for the error of refused requests.

    Raises:
        PipelineError: The lock is held (409).
    """
    make_folder(folder)
    with (folder / LOCK_NAME).open("a+") as file:
        try:
            process.lock(file)
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
            process.unlock(file)


def is_busy(folder: Path) -> bool:
    """Return whether a live process holds the lock; a killed one's note does not count.

    Does not try the lock: a request at the same moment would be refused.

    Args:
        folder: Folder of the pipeline's state.
    """
    path = folder / LOCK_NAME
    pid = path.read_text().partition("\n")[2] if path.is_file() else ""
    return pid.isdigit() and process.is_running(int(pid))


class ExperimentState:
    """Finished phases of an experiment.

    Args:
        folder: Folder of the pipeline's state.
        experiment: Storage prefix of the experiment, made of checked ids.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        key = experiment.replace("/", ",")
        if len(key) > _LONGEST_KEY:
            key = hashlib.sha256(key.encode()).hexdigest()
        self._path = folder / "experiments" / f"{key}.json"

    def phase(self, loop: int, phase: str, asked: str) -> dict[str, Any] | None:
        """Return the result of a finished phase if its request was the same, else None.

        Args:
            loop: Loop number.
            phase: train, test or infer.
            asked: Digest of the request, such as a hash of the records.
        """
        found = self._read().get(str(loop), {}).get(phase)
        if found is None or found["asked"] != asked:
            return None
        detail: dict[str, Any] = found["detail"]
        return detail

    def finished(self, loop: int) -> dict[str, dict[str, Any]] | None:
        """Return the results of a loop's finished phases; None if the loop never started."""
        phases = self._read().get(str(loop))
        if phases is None:
            return None
        return {phase: one["detail"] for phase, one in phases.items()}

    def begin(self, loop: int, phase: str) -> None:
        """Record that a phase starts; discard its earlier result and those of later phases."""
        state = self._read()
        phases = state.setdefault(str(loop), {})
        names = list(phases)
        for later in names[names.index(phase) :] if phase in names else ():
            del phases[later]
        write_json(self._path, state)

    def finish(self, loop: int, phase: str, asked: str, detail: dict[str, Any]) -> None:
        """Record a finished phase; its files must be flushed before."""
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
                f"{self._path.name} in the pipeline's state is damaged; remove it to restart the "
                "loops of this experiment"
            )
        return found
