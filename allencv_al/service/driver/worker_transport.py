"""Requests to a pipeline that cannot be reached: its worker polls for them."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from allencv_al.service.driver.transport import refusal
from allencv_al.service.web.access import Identity, OpenAccess, TokenAccess
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.running import start_in_thread
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

logger = logging.getLogger(__name__)

UNKNOWN = "unknown_worker"
_POLL_SECONDS = 15.0  # how long a poll waits for a task; below the timeouts of usual proxies
_LOG_SECONDS = 30.0  # between messages about a pending answer
_FAREWELL_SECONDS = 3.0  # how long `close` waits for the worker to hear that the loop has ended
# The outputs of a block of records come in one body
_MAX_BODY_BYTES = 256 * 2**20

State = Literal["STARTED", "WAITING", "FETCHED", "FINISHED", "PAUSED"]


class StartRequest(BaseModel):
    """Registration of a worker."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field("", max_length=200, description="Name of the pipeline.")


class StartAnswer(BaseModel):
    """Acknowledgment."""

    status: int = 200
    state: State = "STARTED"
    worker: str = Field(description="Id of this worker; earlier ids become invalid.")


class NextTaskRequest(BaseModel):
    """Request for the next task."""

    model_config = ConfigDict(extra="ignore")

    worker: str = Field(max_length=64)


class WorkerTask(BaseModel):
    """A request to the worker's pipeline."""

    id: str
    method: str = Field(description="GET or POST.")
    path: str = Field(description="The route, such as /train.")
    key: str | None = Field(description="Idempotency-Key of the request, if any.")
    body: dict[str, Any] = Field(description="JSON body of the request.")


class NextTaskAnswer(BaseModel):
    """The next task, if any, and the state of the loop."""

    status: int = 200
    state: State
    task: WorkerTask | None = None


class ResultRequest(BaseModel):
    """The answer to a task."""

    model_config = ConfigDict(extra="ignore")

    worker: str = Field(max_length=64)
    task: str = Field(max_length=64)
    task_status: int = Field(ge=100, le=599, description="HTTP status of the answer.")
    answer: dict[str, Any] = Field(description="JSON body of the answer.")


class ResultAnswer(BaseModel):
    """Acknowledgment."""

    status: int = 200
    state: State = "WAITING"


class WorkerTransport:
    """Offers the loop's request to a worker and waits for its answer.

    There is one request at a time and one worker: the worker that registered last takes over the
    unfinished request of an earlier one.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        token: Token of workers; None admits only this machine.
    """

    def __init__(self, host: str, port: int, token: str | None) -> None:
        # Only on the loopback address without a token: the learner's check refuses any other
        access = OpenAccess() if token is None else TokenAccess({token: Identity("worker")})
        settings = WebSettings(
            host=host, port=port, access=access, max_body_bytes=_MAX_BODY_BYTES, max_json_depth=64
        )
        self.name = "the worker"
        # Guards all fields below: requests come in threads of the server
        self._changed = threading.Condition()
        self._worker: str | None = None
        self._task: WorkerTask | None = None
        self._result: tuple[int, dict[str, Any]] | None = None
        self._end: State | None = None
        self._is_dismissed = False
        self.app = WebApp("driver", settings, "the loop's side of a pipeline")
        self._add_routes(self.app)
        self._server = start_in_thread(self.app)
        self.url = self._server.url
        logger.info("waiting for workers at %s: Pipeline(...).work(url, token)", self.url)

    def call(self, path: str, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """See `Transport.call`."""
        return self._request("POST", path, body, key)

    def get(self, path: str) -> dict[str, Any]:
        """See `Transport.get`."""
        return self._request("GET", path, {}, None)

    def close(self, is_done: bool) -> None:
        """Finish the worker if `is_done`, pause it otherwise, and stop the server."""
        with self._changed:
            if self._end is not None:
                return
            # Told once: a second close must not turn a pause into an end
            self._end = "FINISHED" if is_done else "PAUSED"
            self._changed.notify_all()
            if self._worker is not None:
                self._changed.wait_for(lambda: self._is_dismissed, _FAREWELL_SECONDS)
        self._server.close()

    def _request(
        self, method: str, path: str, body: Mapping[str, Any], key: str | None
    ) -> dict[str, Any]:
        task = WorkerTask(id=uuid.uuid4().hex, method=method, path=path, key=key, body=dict(body))
        began = time.monotonic()
        with self._changed:
            self._task, self._result = task, None
            self._changed.notify_all()
            while not self._changed.wait_for(lambda: self._result is not None, _LOG_SECONDS):
                doing = "waiting for a worker" if self._worker is None else "running"
                minutes = (time.monotonic() - began) / 60
                logger.info("%s: %s for %.0f min", path.strip("/"), doing, minutes)
            status, answer = self._take_result()
        if status != 200:
            raise refusal(self.name, path, status, answer)
        return answer

    def _take_result(self) -> tuple[int, dict[str, Any]]:
        assert self._result is not None
        self._task, found = None, self._result
        return found

    # -- Routes for workers -----------------------------------------------------------------------

    def _add_routes(self, app: WebApp) -> None:
        @app.operation("POST", "/start_experiment")
        def start_experiment(body: StartRequest) -> StartAnswer:
            """Register a worker."""
            with self._changed:
                # The newest worker is the one that is wanted: the one before may hang, or have lost
                # its network
                self._worker = uuid.uuid4().hex
                self.name = f"the worker {body.name}" if body.name else "the worker"
                self._changed.notify_all()
                logger.info("%s has registered", self.name)
                return StartAnswer(worker=self._worker)

        @app.operation("POST", "/sdk_response", responses=(409,))
        def sdk_response(body: NextTaskRequest) -> NextTaskAnswer:
            """Return the next task; wait up to 15 seconds for one."""
            return self._next(body.worker)

        @app.operation("POST", "/end_of_task", responses=(409,))
        def end_of_task(body: ResultRequest) -> ResultAnswer:
            """Deliver the answer to a task."""
            with self._changed:
                self._check(body.worker)
                # A worker may repeat a delivery whose acknowledgment was lost
                if self._task is not None and body.task == self._task.id and self._result is None:
                    self._result = (body.task_status, body.answer)
                    self._changed.notify_all()
            return ResultAnswer()

    def _next(self, worker: str) -> NextTaskAnswer:
        def has_news() -> bool:
            return (
                worker != self._worker
                or self._end is not None
                or (self._task is not None and self._result is None)
            )

        with self._changed:
            self._check(worker)
            self._changed.wait_for(has_news, _POLL_SECONDS)
            self._check(worker)  # another worker may have registered meanwhile
            # Handed out again at each poll until it is answered: the worker may have been restarted
            if self._task is not None and self._result is None:
                return NextTaskAnswer(state="FETCHED", task=self._task)
            if self._end is not None:
                self._is_dismissed = True
                self._changed.notify_all()
                return NextTaskAnswer(state=self._end)
            return NextTaskAnswer(state="WAITING")

    def _check(self, worker: str) -> None:
        if worker != self._worker:
            if self._worker is None:  # the loop was restarted
                raise WebError(409, UNKNOWN, "worker: unknown id; call /start_experiment first")
            raise WebError(409, "superseded", "another worker has taken over")
