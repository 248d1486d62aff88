"""Background jobs of a pipeline: files shared by processes."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allencv_al.common import process
from allencv_al.common.errors import AllenCVError
from allencv_al.common.files.atomic_file import write_json
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.state.storage import check_id
from allencv_al.service.web.web_errors import without_paths

logger = logging.getLogger(__name__)


class Jobs:
    """Background jobs of asynchronous requests.

    Args:
        folder: Folder of the pipeline's state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "jobs"

    def start(self) -> str:
        """Record a new job; return its id."""
        job = uuid.uuid4().hex
        self.write(job, "running")
        return job

    def run(self, job: str, loop: int, act: Callable[[], dict[str, Any]]) -> None:
        """Call `act`; record its result, or its error.

        Args:
            job: Id that `start` returned.
            loop: Loop number, recorded with an error.
            act: Does the work and returns the result as JSON values.
        """
        try:
            self.write(job, "done", result=act())
        except Exception as error:
            if not isinstance(error, AllenCVError):
                logger.exception("job %s failed", job)
            message = str(error)
            fault = {
                "type": getattr(error, "code", type(error).__name__),
                "message": message
                if getattr(error, "shows_paths", False)
                else without_paths(message),
                "phase": getattr(error, "phase", None),
                "loop": loop,
            }
            self.write(job, "failed", error=fault)

    def write(self, job: str, state: str, **more: Any) -> None:
        """Record the state of a job."""
        value = {"id": job, "state": state, "pid": os.getpid(), "time": time.time(), **more}
        write_json(self._folder / f"{job}.json", value)

    def read(self, job: str) -> dict[str, Any]:
        """Return the state of a job; a job whose process has ended has failed.

        Raises:
            PipelineError: There is no such job (404).
        """
        path = self._folder / f"{check_id('job', job)}.json"
        if not path.is_file():
            raise PipelineError(404, "not_found", "there is no such job")
        found: dict[str, Any] = json.loads(path.read_text())
        if found["state"] == "running" and not process.is_running(found["pid"]):
            found.update(state="failed", error={"type": "killed", "message": "its process ended"})
        found.pop("pid")
        return found
