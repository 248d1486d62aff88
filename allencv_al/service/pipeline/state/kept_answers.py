"""Kept answers for idempotent requests: a repeated request is not executed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from allencv_al.common.files.atomic_file import write_json
from allencv_al.service.pipeline.pipeline_errors import PipelineError

HEADER = "Idempotency-Key"
_KEPT = 8  # a sequential client repeats only its last request
_LONGEST = 200  # characters of a key

Answer = TypeVar("Answer", bound=BaseModel)


class KeptAnswers:
    """The last answers by idempotency key.

    A client that lost the answer of a long training repeats the request with the same key and gets
    the kept answer, also after either side was killed.

    Args:
        folder: Folder of the pipeline's state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "answers"

    def once(
        self,
        key: str,
        route: str,
        body: BaseModel,
        answer: type[Answer],
        act: Callable[[], Answer],
    ) -> Answer:
        """Return the kept answer of an earlier request with this key, or call `act` and keep its.

        Args:
            key: Idempotency key of the request.
            route: Route and query of the request.
            body: Its body.
            answer: Class of the answer.
            act: Executes the request.

        Raises:
            PipelineError: The key was used for another request (422) or is invalid (400).
        """
        if not 0 < len(key) <= _LONGEST:
            raise PipelineError(
                400, "bad_request", f"{HEADER}: expected 1 to {_LONGEST} characters"
            )
        text = json.dumps([route, body.model_dump(mode="json")], sort_keys=True)
        asked = hashlib.sha256(text.encode()).hexdigest()
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
        if not path.is_file():
            found = act()
            # A kill before this line repeats the work: only a finished answer may be kept
            write_json(path, {"asked": asked, "answer": found.model_dump(mode="json")})
            self._delete_oldest()
            return found
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["asked"] != asked:
            raise PipelineError(
                422, "idempotency_key", f"{HEADER}: already used for another request"
            )
        return answer.model_validate(kept["answer"])

    def _delete_oldest(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-_KEPT]:
            path.unlink(missing_ok=True)
