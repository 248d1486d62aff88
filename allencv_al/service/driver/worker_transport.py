"""Requests to a pipeline that cannot be reached: it asks for them itself."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from allencv_al.service.driver import worker_messages as messages
from allencv_al.service.driver.transport import refusal
from allencv_al.service.web.access import Identity, OpenAccess, TokenAccess
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.running import start_in_thread
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

logger = logging.getLogger(__name__)

UNKNOWN = "unknown_worker"
_ASKED_SECONDS = 15.0  # a worker waits so long for something to do, before it asks again
_SAID_SECONDS = 30.0
_FAREWELL_SECONDS = 3.0
_MAX_BODY_BYTES = 256 * 2**20


class WorkerTransport:
    """Keeps the request of the loop until a worker asks for it, and its answer is there.

    There is one request at a time, and one worker: who says last that he is there gets what an
    earlier one has not finished.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        token: Token of workers; None admits only this machine.
    """

    def __init__(self, host: str, port: int, token: str | None) -> None:
        access = OpenAccess() if token is None else TokenAccess({token: Identity("worker")})
        settings = WebSettings(
            host=host, port=port, access=access, max_body_bytes=_MAX_BODY_BYTES, max_json_depth=64
        )
        self.name = "the worker"
        self._changed = threading.Condition()
        self._worker: str | None = None
        self._task: messages.WorkerTask | None = None
        self._result: tuple[int, dict[str, Any]] | None = None
        self._end: messages.State | None = None
        self._told = False
        self.app = WebApp("driver", settings, "the loop's side of a pipeline")
        self._add_routes(self.app)
        self._server = start_in_thread(self.app)
        self.url = self._server.url
        logger.info("waiting for workers at %s: Pipeline(...).work(url, token)", self.url)

    def call(self, path: str, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """See `Transport.call`."""
        return self._have_done("POST", path, body, key)

    def get(self, path: str) -> dict[str, Any]:
        """See `Transport.get`."""
        return self._have_done("GET", path, {}, None)

    def close(self, is_done: bool) -> None:
        """Dismiss the worker, for good or until later, and end the server."""
        with self._changed:
            if self._end is not None:
                return
            self._end = "FINISHED" if is_done else "PAUSED"
            self._changed.notify_all()
            if self._worker is not None:
                self._changed.wait_for(lambda: self._told, _FAREWELL_SECONDS)
        self._server.close()

    def _have_done(
        self, method: str, path: str, body: Mapping[str, Any], key: str | None
    ) -> dict[str, Any]:
        task = messages.WorkerTask(
            id=uuid.uuid4().hex, method=method, path=path, key=key, body=dict(body)
        )
        began = time.monotonic()
        with self._changed:
            self._task, self._result = task, None
            self._changed.notify_all()
            while not self._changed.wait_for(self._has_result, _SAID_SECONDS):
                doing = "waiting for a worker" if self._worker is None else "at work"
                minutes = (time.monotonic() - began) / 60
                logger.info("%s: %s for %.0f min", path.strip("/"), doing, minutes)
            status, answer = self._taken_result()
        if status != 200:
            raise refusal(self.name, path, status, answer)
        return answer

    def _has_result(self) -> bool:
        return self._result is not None

    def _taken_result(self) -> tuple[int, dict[str, Any]]:
        assert self._result is not None
        self._task, found = None, self._result
        return found

    # -- What workers ask -------------------------------------------------------------------------

    def _add_routes(self, app: WebApp) -> None:
        @app.operation("POST", "/start_experiment")
        def start_experiment(body: messages.StartRequest) -> messages.StartAnswer:
            """Register a worker."""
            with self._changed:
                self._worker = uuid.uuid4().hex
                self.name = f"the worker {body.name}" if body.name else "the worker"
                self._changed.notify_all()
                logger.info("%s is there", self.name)
                return messages.StartAnswer(worker=self._worker)

        @app.operation("POST", "/sdk_response", responses=(409,))
        def sdk_response(body: messages.NextTaskRequest) -> messages.NextTaskAnswer:
            """Return the next task; waits some seconds for one."""
            return self._next(body.worker)

        @app.operation("POST", "/end_of_task", responses=(409,))
        def end_of_task(body: messages.ResultRequest) -> messages.ResultAnswer:
            """Deliver the answer to a task."""
            with self._changed:
                self._check(body.worker)
                if self._task is not None and body.task == self._task.id and self._result is None:
                    self._result = (body.task_status, body.answer)
                    self._changed.notify_all()
            return messages.ResultAnswer()

    def _next(self, worker: str) -> messages.NextTaskAnswer:
        def is_something() -> bool:
            return (
                worker != self._worker
                or self._end is not None
                or (self._task is not None and self._result is None)
            )

        with self._changed:
            self._check(worker)
            self._changed.wait_for(is_something, _ASKED_SECONDS)
            self._check(worker)
            if self._task is not None and self._result is None:
                return messages.NextTaskAnswer(state="FETCHED", task=self._task)
            if self._end is not None:
                self._told = True
                self._changed.notify_all()
                return messages.NextTaskAnswer(state=self._end)
            return messages.NextTaskAnswer(state="WAITING")

    def _check(self, worker: str) -> None:
        if worker != self._worker:
            if self._worker is None:  # the loop has ended since, and begun again
                raise WebError(409, UNKNOWN, "start_experiment comes first")
            raise WebError(409, "superseded", "another worker has taken over")
