"""Kept answers for idempotent requests: a repeated request is not executed again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from allencv_al.common.files.atomic_file import write_json
from allencv_al.service.pipeline.pipeline_errors import PipelineError

HEADER = "Idempotency-Key"
_KEPT = 8  # a sequential client repeats only its last request
_LONGEST = 200


class KeptAnswers:
    """The last answers by idempotency key.

    A client that lost the answer of a long training repeats the request with the same key and gets
    the kept answer, also after either side was killed.

    Args:
        folder: Folder of the pipeline's state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "answers"

    def find(self, key: str, asked: str) -> dict[str, Any] | None:
        """Return the kept answer of an earlier request, or None.

        Args:
            key: Idempotency key of the request.
            asked: Digest of the request; see `digest`.

        Raises:
            PipelineError: The key was used for another request (422) or is invalid (400).
        """
        path = self._path(key)
        if not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["asked"] != asked:
            raise PipelineError(
                422, "idempotency_key", f"{HEADER}: already used for another request"
            )
        answer: dict[str, Any] = found["answer"]
        return answer

    def keep(self, key: str, asked: str, answer: dict[str, Any]) -> None:
        """Keep an answer and delete the oldest ones."""
        write_json(self._path(key), {"asked": asked, "answer": answer})
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-_KEPT]:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not 0 < len(key) <= _LONGEST:
            raise PipelineError(
                400, "bad_request", f"{HEADER}: expected 1 to {_LONGEST} characters"
            )
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def digest(path: str, body: BaseModel) -> str:
    """Return a digest of path and body."""
    text = json.dumps([path, body.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
