"""Notifies a callback URL that a loop is done."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request

from allencv_al.service.pipeline.pipeline_errors import LOOP_FAILED, PipelineError
from allencv_al.service.pipeline.pipeline_messages import OneLoopRequest

_ATTEMPTS = 4
_FIRST_PAUSE = 0.5
_SECONDS = 20


def call_back(url: str, body: OneLoopRequest, token: str | None) -> None:
    """POST to `URL/end_of_task`; retry with growing pauses while it is unreachable.

    Args:
        url: Callback URL of the pipeline.
        body: The loop's request.
        token: Bearer token, if any.

    Raises:
        PipelineError: The callback failed (502).
    """
    value = {
        "experiment_id": body.experiment_id,
        "project_id": body.project_id,
        "user_id": body.user_id,
        "n_rec": body.n_rec,
        "n_loop": body.n_loop,
        "cur_loop": body.cur_loop,
    }
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(  # noqa: S310  http or https: checked by Pipeline
        f"{url.rstrip('/')}/end_of_task", json.dumps(value).encode(), headers, method="POST"
    )
    cause = ""
    for attempt in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310  set by the owner
                return
        except urllib.error.HTTPError as error:
            cause = f"status {error.code}"
            # The receiver refuses this request, and would refuse it again
            if error.code < 500:
                break
        except (OSError, http.client.HTTPException) as error:
            cause = str(error)
        if attempt < _ATTEMPTS - 1:
            time.sleep(_FIRST_PAUSE * 2**attempt)
    raise PipelineError(
        502,
        "callback",
        f"{LOOP_FAILED}: the callback failed ({cause})",
        loop=body.cur_loop,
    )
