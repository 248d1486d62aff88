"""Worker of a pipeline without an open port: it polls a loop for requests."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from werkzeug.test import Client

from allencv_al.common.errors import AllenCVError
from allencv_al.service.driver.http_transport import HTTPTransport
from allencv_al.service.driver.transport import TransportError
from allencv_al.service.driver.worker_transport import UNKNOWN
from allencv_al.service.web.app import WebApp

logger = logging.getLogger(__name__)

_BUSY_SECONDS = 0.5


class Worker:
    """Polls a loop for requests, runs them in this process's pipeline and posts the answers.

    Nothing is lost when worker or loop is killed: after a restart both continue, and finished
    requests are answered from the pipeline's kept answers.

    Args:
        app: Application of the pipeline, open to this process without a token.
        name: Name of the pipeline.
        url: Address of the loop.
        token: Token of the loop, if it needs one.
        patience_seconds: Maximum time that the loop may be unreachable.
    """

    def __init__(
        self, app: WebApp, name: str, url: str, token: str | None, patience_seconds: float
    ) -> None:
        self._client = Client(app)
        self._name = name
        self._loop = HTTPTransport(url, token, patience_seconds, "the loop", "work")
        self._worker: str | None = None

    def run(self) -> None:
        """Work until the loop has finished.

        Raises:
            AllenCVError: The loop stays unreachable, or another worker has taken over.
        """
        try:
            while self._go_on():
                pass
        finally:
            self._loop.close()

    def _go_on(self) -> bool:
        if self._worker is None:
            answer = self._loop.call("/start_experiment", {"name": self._name}, None)
            self._worker = str(answer["worker"])
            logger.info("working for %s", self._loop.name)
        try:
            found = self._loop.call("/sdk_response", {"worker": self._worker}, None)
            if found["state"] == "FETCHED":
                self._do(found["task"])
        except TransportError as error:
            if error.code != UNKNOWN:
                raise
            self._worker = None  # the loop was restarted
            return True
        if found["state"] == "PAUSED":  # until the loop is started again
            self._worker = None
            time.sleep(_BUSY_SECONDS)
        return bool(found["state"] != "FINISHED")

    def _do(self, task: dict[str, Any]) -> None:
        logger.info("%s", task["path"])
        status, answer = self._ask_pipeline(task)
        body = {
            "worker": self._worker,
            "task": task["id"],
            "task_status": status,
            "answer": answer,
        }
        self._loop.call("/end_of_task", body, None)

    def _ask_pipeline(self, task: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {} if task["key"] is None else {"Idempotency-Key": task["key"]}
        while True:
            if task["method"] == "GET":
                response = self._client.get(task["path"])
            else:
                response = self._client.post(task["path"], json=task["body"], headers=headers)
            answer = json.loads(response.get_data())
            # Another conflict, such as a loop out of its order, would not pass by waiting
            if response.status_code != 409 or answer["error"]["type"] != "busy":
                return response.status_code, answer
            time.sleep(_BUSY_SECONDS)  # another process of this pipeline is busy


def work(app: WebApp, name: str, url: str, token: str | None, patience_seconds: float) -> int:
    """Work for a loop until it has finished; see `Pipeline.work`."""
    try:
        Worker(app, name, url, token, patience_seconds).run()
    except KeyboardInterrupt:
        # 128 + SIGINT, as shells report it
        return 130
    except AllenCVError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0
