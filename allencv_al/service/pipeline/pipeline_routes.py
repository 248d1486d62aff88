"""HTTP routes of a pipeline."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flask
from pydantic import BaseModel

from allencv_al.service.pipeline import pipeline_messages as messages
from allencv_al.service.pipeline.callback import call_back
from allencv_al.service.pipeline.functions.returns import to_plain
from allencv_al.service.pipeline.functions.user_functions import Functions, check_records
from allencv_al.service.pipeline.loop_request import LoopRequest
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.pipeline_loop import LoopOptions, PipelineLoop
from allencv_al.service.pipeline.state.checkpoints import Checkpoints
from allencv_al.service.pipeline.state.experiment_state import busy, is_busy
from allencv_al.service.pipeline.state.jobs import Jobs
from allencv_al.service.pipeline.state.kept_answers import HEADER as KEY_HEADER
from allencv_al.service.pipeline.state.kept_answers import Answer, KeptAnswers
from allencv_al.service.pipeline.state.storage import Storage, check_id
from allencv_al.service.pipeline.tasks.infer_outputs import notes_on, store_outputs
from allencv_al.service.pipeline.tasks.pipeline_metrics import metrics_of
from allencv_al.service.web.app import WebApp

PROTOCOL = 1
HEADER = "X-AllenCV-AL-Protocol"
_RESPONSES = (404, 409)
_SHORT = 2**20  # bytes of a request without records

logger = logging.getLogger(__name__)


class PipelineRoutes:
    """HTTP routes of a pipeline.

    Args:
        name: Name of the pipeline.
        functions: The user's functions.
        storage: Storage for the results of loops.
        folder: Local folder of the pipeline's state.
        class_labels: Class names by class number, if known.
        callback_url: Receives a POST after each finished loop; None for none.
        token: Bearer token of that POST.
        options: Options for the stored files of loops.
    """

    def __init__(
        self,
        name: str,
        functions: Functions,
        storage: Storage,
        folder: Path,
        class_labels: Mapping[int, str] | None,
        callback_url: str | None,
        token: str | None,
        options: LoopOptions,
    ) -> None:
        self._options = options
        self._name = name
        self._functions = functions
        self._storage = storage
        self._folder = folder
        self._class_labels = class_labels
        self._callback_url = callback_url
        self._token = token
        self._checkpoints = Checkpoints(functions.args, folder)
        self._jobs = Jobs(folder)
        self._answers = KeptAnswers(folder)

    def add_to(self, app: WebApp) -> None:
        """Add the routes to an application."""
        app.after_request(_with_protocol)
        self._add_training(app)
        self._add_inference(app)
        self._add_loops(app)
        self._add_info(app)

    def _add_training(self, app: WebApp) -> None:
        functions = self._functions

        @app.operation("POST", "/train", scope="train", responses=_RESPONSES)
        def train(body: messages.TrainRequest) -> messages.TrainAnswer:
            """Train on the given records and write a checkpoint."""
            labeled = check_records(body.labeled, None, "labeled")
            check_id("ckpt_file", body.ckpt_file)
            if body.resume_from is not None:
                check_id("resume_from", body.resume_from)
            payload = {**_payload(body), "labeled": labeled}

            def act() -> messages.TrainAnswer:
                began = self._checkpoints.begin(body.ckpt_file, None)
                with self._checkpoints.needed(body.resume_from or body.ckpt_file):
                    trained = functions.train(payload, body.cur_loop)
                self._checkpoints.end(body.ckpt_file, None, began)
                return messages.TrainAnswer(
                    train_time=trained.seconds, num_queried_per_class=trained.queried_per_class
                )

            return self._once("train", body, messages.TrainAnswer, act)

        @app.operation("POST", "/test", scope="test", max_body_bytes=_SHORT, responses=_RESPONSES)
        def test(body: messages.TestRequest) -> messages.TestAnswer:
            """Test a checkpoint."""
            check_id("ckpt_file", body.ckpt_file)

            def act() -> messages.TestAnswer:
                with self._checkpoints.needed(body.ckpt_file) as warnings:
                    tested = functions.test(_payload(body), body.cur_loop)
                predictions, labels = tested["predictions"], tested["labels"]
                metrics = None
                try:
                    metrics = metrics_of(predictions, labels, self._class_labels)
                except PipelineError as error:  # the values are still returned
                    logger.warning("%s", error)
                    warnings = [*warnings, str(error)]
                return messages.TestAnswer(**tested, metrics=metrics, warnings=warnings)

            return self._once("test", body, messages.TestAnswer, act)

    def _add_inference(self, app: WebApp) -> None:
        functions = self._functions

        @app.operation("POST", "/infer", scope="infer", responses=_RESPONSES)
        def infer(body: messages.InferRequest, query: messages.InferQuery) -> messages.InferAnswer:
            """Return the outputs of the given records."""
            check_id("ckpt_file", body.ckpt_file)
            unlabeled = check_records(body.unlabeled, None, "unlabeled")
            payload = {**_payload(body), "unlabeled": unlabeled}

            def act() -> messages.InferAnswer:
                with self._checkpoints.needed(body.ckpt_file) as notes:
                    found = functions.infer(payload, body.cur_loop)
                notes = [*notes, *notes_on(found)]
                if query.store:
                    asked = hashlib.sha256(json.dumps(unlabeled).encode()).hexdigest()[:12]
                    stem = f"outputs/{body.ckpt_file}-{asked}"
                    address = store_outputs(self._storage, stem, found)
                    return messages.InferAnswer(artifact=address, count=len(found), warnings=notes)
                outputs = {
                    str(key): to_plain(value, "infer", f"outputs[{key}]", is_finite=True)
                    for key, value in found.items()
                }
                return messages.InferAnswer(
                    outputs=outputs, artifact=None, count=len(found), warnings=notes
                )

            return self._once(f"infer?store={query.store}", body, messages.InferAnswer, act)

        @app.operation(
            "POST", "/getdatasetstate", scope="state", max_body_bytes=_SHORT, responses=_RESPONSES
        )
        def getdatasetstate(body: messages.StateRequest) -> messages.StateAnswer:
            """List the records."""
            with busy(self._folder, "getdatasetstate"):
                state = functions.state()
            size = len(state) if isinstance(state, dict | list) else None
            return messages.StateAnswer(state=state, size=size)

    def _add_loops(self, app: WebApp) -> None:
        @app.operation("POST", "/one_loop", scope="loop", responses=(202, 409, 502))
        def one_loop(
            body: messages.OneLoopRequest,
        ) -> messages.OneLoopAnswer | flask.Response:
            """Train, test and infer, each phase once, and store the results.

            With `Prefer: respond-async`, answer 202 and the address of a job.
            """
            request = self._loop_request(body)
            with ExitStack() as held:
                # Held until the loop ends; a job's thread takes it over by `pop_all`
                held.enter_context(busy(self._folder, f"loop {request.loop}"))
                if "respond-async" not in flask.request.headers.get("Prefer", ""):
                    return self._run(request, body)
                job = self._jobs.start()
                threading.Thread(
                    target=self._run_job, args=(job, request, body, held.pop_all()), daemon=True
                ).start()
            answer = flask.jsonify({"status": 202, "id": job})
            answer.status_code = 202
            answer.headers["Location"] = f"/jobs/{job}"
            return answer

        @app.operation("GET", "/jobs/<job>", scope="loop", responses=(404,))
        def jobs(job: str) -> messages.JobAnswer:
            """Job status."""
            return messages.JobAnswer.model_validate(self._jobs.read(job))

        @app.operation("POST", "/end_exp", scope="loop", max_body_bytes=_SHORT)
        def end_exp(body: messages.EndRequest) -> messages.EndAnswer:
            """End an experiment."""
            return messages.EndAnswer()

    def _add_info(self, app: WebApp) -> None:
        @app.operation("GET", "/v1/info")
        def info() -> messages.PipelineInfoAnswer:
            """Describe this pipeline."""
            functions = ["train", "test", "infer"]
            if self._functions.has_state:
                functions.append("getdatasetstate")
            return messages.PipelineInfoAnswer(
                protocol=PROTOCOL,
                name=self._name,
                functions=functions,
                busy=is_busy(self._folder),
                class_labels=dict(self._class_labels) if self._class_labels else None,
                checkpoint_extension=str(self._functions.args.get("CKPT_EXT", "")),
            )

    def _once(
        self, route: str, body: BaseModel, answer: type[Answer], act: Callable[[], Answer]
    ) -> Answer:
        """Call `act` under the lock; a request with a known idempotency key gets its kept answer.

        A repeated request may arrive while the first one still runs: the lock refuses it (409), so
        that the client asks again and finds the answer.
        """
        key = flask.request.headers.get(KEY_HEADER)
        with busy(self._folder, route.partition("?")[0]):
            return act() if key is None else self._answers.once(key, route, body, answer, act)

    def _loop_request(self, body: messages.OneLoopRequest) -> LoopRequest:
        # Else a caller could have the token sent to an address of theirs
        if body.callback_url not in (None, self._callback_url):
            raise PipelineError(
                422,
                "callback_url",
                "callback_url: a request cannot choose where the pipeline sends its token; set it "
                "in Pipeline(callback_url=...)",
            )
        return LoopRequest.from_body(body, self._storage, self._class_labels)

    def _run(
        self,
        request: LoopRequest,
        body: messages.OneLoopRequest,
        on_phase: Callable[[str], None] = lambda phase: None,
    ) -> messages.OneLoopAnswer:
        loop = PipelineLoop(
            *(request, self._functions, self._storage, self._folder),
            *(self._checkpoints, self._options, on_phase),
        )
        found = loop.run()
        if self._callback_url is not None:
            call_back(self._callback_url, body, self._token)
        return messages.OneLoopAnswer(**found)

    def _run_job(
        self, job: str, request: LoopRequest, body: messages.OneLoopRequest, held: ExitStack
    ) -> None:
        def act() -> dict[str, Any]:
            with held:  # released first: a client continues as soon as the job is recorded as done
                answer = self._run(
                    *(request, body), lambda phase: self._jobs.write(job, "running", phase=phase)
                )
            return answer.model_dump(mode="json")

        self._jobs.run(job, request.loop, act)


def _payload(body: BaseModel) -> dict[str, Any]:
    """Return the request body with its extra keys, without loop number and absent labels."""
    unsent = {"labels"} if getattr(body, "labels", None) is None else set()
    return body.model_dump(exclude={"cur_loop", *unsent})


def _with_protocol(response: flask.Response) -> flask.Response:
    response.headers[HEADER] = str(PROTOCOL)
    return response
