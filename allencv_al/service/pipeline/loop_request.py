"""The request for a loop, read from the body of `/one_loop` and the storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from allencv_al.common.errors import DataError
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.pipeline_messages import OneLoopRequest
from allencv_al.service.pipeline.state.storage import Storage, check_folder_id
from allencv_al.service.pipeline.tasks.tasks import named_task


@dataclass(frozen=True)
class LoopRequest:
    """Request for one loop.

    Args:
        loop: Loop number, from 0.
        prefix: Storage prefix of the experiment.
        size: Number of records; None if only the pipeline knows it.
        selected: Records chosen for this loop; None if they are in the storage.
        class_labels: Class names by class number, if known.
        task: One of `tasks`, if the request names it.
    """

    loop: int
    prefix: str
    size: int | None
    selected: Sequence[int] | None
    class_labels: Mapping[int, str] | None
    task: str | None = None

    @classmethod
    def from_body(
        cls, body: OneLoopRequest, storage: Storage, class_labels: Mapping[int, str] | None
    ) -> Self:
        """Read a request; missing values come from the project's `meta.json` in the storage.

        Args:
            body: The body of `/one_loop`.
            storage: Storage of the pipeline.
            class_labels: Class names of the pipeline, used if neither body nor file has any.

        Raises:
            PipelineError: An id may not name a folder (400), or a value is wrong (422).
        """
        # Optional ids come first, so that experiments of several clients stay apart
        ids = {
            "bucket_name": body.bucket_name,
            "user_id": body.user_id,
            "project_id": body.project_id,
            "experiment_id": body.experiment_id,
        }
        parts = [check_folder_id(name, value) for name, value in ids.items() if value is not None]
        size, labels = body.training_set_size, body.class_labels
        if size is None or labels is None:
            meta = _meta(storage, "/".join([*parts[:-1], "meta.json"]))
            size = size if size is not None else _train_size(meta)
            labels = labels if labels is not None else meta.get("class_labels")
        return cls(
            body.cur_loop,
            "/".join(parts),
            size,
            body.selected_indices,
            _names_by_number(labels) if labels else class_labels,
            named_task(body.type),
        )

    def path(self, name: str) -> str:
        """Return the storage path of a file of the experiment."""
        return f"{self.prefix}/{name}"

    def selected_path(self, loop: int) -> str:
        """Return the storage path of the records chosen for a loop."""
        return self.path(f"selected_indices_{loop}.json")


def _meta(storage: Storage, path: str) -> dict[str, Any]:
    try:
        found = storage.read_json(path)
    except DataError:  # optional
        return {}
    return found if isinstance(found, dict) else {}


def _train_size(meta: Mapping[str, Any]) -> int | None:
    size: int | None = meta.get("train_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        message = f"meta.json: train_size: expected a whole number from 1, found {size!r:.80}"
        raise PipelineError(422, "training_set_size", message)
    return size


def _names_by_number(labels: Any) -> dict[int, str]:
    if isinstance(labels, list):
        return {number: str(name) for number, name in enumerate(labels)}
    try:
        return {int(number): str(name) for number, name in labels.items()}
    except (AttributeError, ValueError):
        raise PipelineError(
            422, "class_labels", 'class_labels: expected numbers as keys: {"0": "car"}'
        ) from None
