"""One loop: train, test, infer, and what is kept of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.common.errors import DataError
from allencv_al.service.pipeline.activations import (
    distribution,
    independent_classes,
    to_logits,
    to_numbers,
)
from allencv_al.service.pipeline.errors import PipelineError
from allencv_al.service.pipeline.experiment_state import ExperimentState
from allencv_al.service.pipeline.functions import Functions, check_records, checkpoint_of
from allencv_al.service.pipeline.metrics import metrics_of
from allencv_al.service.pipeline.returns import to_plain
from allencv_al.service.pipeline.storage import Storage
from allencv_al.service.pipeline.tasks import DETECTION, MULTI_LABEL, REGRESSION, SEGMENTATION


@dataclass(frozen=True)
class LoopRequest:
    """What a loop is to do.

    Args:
        loop: Its number, from 0.
        prefix: Where its files are in the storage.
        size: How many records there are; None where only the pipeline knows.
        selected: The records that were chosen for this loop; None where they are in the storage.
        class_labels: The names of the classes by their numbers, if they are known.
        task: One of `tasks`, if the request says it.
    """

    loop: int
    prefix: str
    size: int | None
    selected: Sequence[int] | None
    class_labels: Mapping[int, str] | None
    task: str | None = None


class LoopRunner:
    """Does loops, each phase once: after a kill, what is finished is not done again.

    Args:
        functions: The user's.
        storage: Where results are kept.
        state: How far the experiment is.
        on_phase: Called with the name of each phase that begins.
    """

    def __init__(
        self,
        functions: Functions,
        storage: Storage,
        state: ExperimentState,
        on_phase: Callable[[str], None] = lambda phase: None,
    ) -> None:
        self._functions = functions
        self._storage = storage
        self._state = state
        self._on_phase = on_phase

    def run(self, request: LoopRequest) -> dict[str, Any]:
        """Do a loop; return its metrics, the addresses of its files and the seconds of its phases.

        Raises:
            PipelineError: Something is wrong with the request, the functions, or the storage.
        """
        size = self._size(request)
        labeled = self._labeled(request, size)
        extension = str(self._functions.args.get("CKPT_EXT", ""))
        checkpoint = f"ckpt_{request.loop}{extension}"
        asked = hashlib.sha256(json.dumps([labeled, size]).encode()).hexdigest()
        artifacts: dict[str, str] = {}
        trained = self._once(
            request, "train", asked, lambda: self._train(request, labeled, checkpoint)
        )
        artifacts.update(trained.pop("artifacts"))
        tested = self._once(request, "test", asked, lambda: self._test(request, checkpoint))
        artifacts.update(tested.pop("artifacts"))
        unlabeled = sorted(set(range(size)) - set(labeled))
        inferred = self._once(
            request,
            "infer",
            asked,
            lambda: self._infer(request, checkpoint, unlabeled, tested["metrics"].get("task")),
        )
        artifacts.update(inferred.pop("artifacts"))
        return {
            "loop": request.loop,
            "metrics": tested["metrics"],
            "artifacts": artifacts,
            "phases": {"train": trained, "infer": inferred},
        }

    def _once(
        self, request: LoopRequest, phase: str, asked: str, act: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        found = self._state.phase(request.loop, phase, asked)
        if found is None:
            self._on_phase(phase)
            found = act()
            self._state.finish(request.loop, phase, asked, found)
        return dict(found)

    def _size(self, request: LoopRequest) -> int:
        if request.size is not None:
            return request.size
        if self._functions.has_state:
            state = self._functions.state()
            if isinstance(state, Mapping | list):
                return len(state)
        raise PipelineError(
            422,
            "training_set_size",
            "how many records are there? The request may say training_set_size, meta.json "
            "train_size, or getdatasetstate may return them",
            loop=request.loop,
        )

    def _labeled(self, request: LoopRequest, size: int) -> list[int]:
        """Return all records that were chosen up to this loop."""
        found = [one for loop in range(request.loop) for one in self._selected(request, loop)]
        if request.selected is None:
            chosen = self._selected(request, request.loop)
        else:
            chosen = check_records(request.selected, size, "selected_indices")
        labeled = check_records([*found, *chosen], size, "the records chosen so far")
        if not labeled:
            raise PipelineError(
                422, "selected_indices", "no records were chosen", loop=request.loop
            )
        if request.selected is not None:  # only now: what is refused must not stay
            self._storage.write_json(_selected_path(request, request.loop), chosen)
        return labeled

    def _selected(self, request: LoopRequest, loop: int) -> list[int]:
        try:
            found = self._storage.read_json(_selected_path(request, loop))
        except DataError as error:
            raise PipelineError(
                422, "selected_indices", f"loop {loop}: {error}", loop=request.loop
            ) from error
        if not isinstance(found, list) or any(type(one) is not int for one in found):
            raise PipelineError(
                422,
                "selected_indices",
                f"loop {loop}: {_selected_path(request, loop)}: expected a list of whole numbers",
                loop=request.loop,
            )
        return found

    def _train(self, request: LoopRequest, labeled: list[int], checkpoint: str) -> dict[str, Any]:
        resume_from = None
        artifacts = {}
        if request.loop > 0:
            extension = str(self._functions.args.get("CKPT_EXT", ""))
            resume_from = f"ckpt_{request.loop - 1}{extension}"
            if checkpoint_of(self._functions.args, resume_from) is None:
                raise PipelineError(
                    409,
                    "checkpoint",
                    f"train: expected the checkpoint {resume_from} of the loop before in EXPT_DIR",
                    "train",
                    request.loop,
                )
        elif self._functions.has_state:
            path = f"{request.prefix}/data_map.json"
            artifacts["data_map"] = self._storage.write_json(path, self._functions.state())
        payload = {"labeled": labeled, "resume_from": resume_from, "ckpt_file": checkpoint}
        trained = self._functions.train(payload, request.loop)
        insights = {
            "train_time": trained.seconds,
            "num_queried_per_class": trained.queried_per_class,
            "hyperparams": trained.hyperparams,
        }
        path = f"{request.prefix}/insights_{request.loop}.json"
        artifacts["insights"] = self._storage.write_json(path, insights)
        return {
            "artifacts": artifacts,
            **{k: v for k, v in asdict(trained).items() if v is not None},
        }

    def _test(self, request: LoopRequest, checkpoint: str) -> dict[str, Any]:
        tested = self._functions.test({"ckpt_file": checkpoint}, request.loop)
        metrics = metrics_of(
            tested["predictions"], tested["labels"], request.class_labels, request.task
        )
        names = {
            "test_predictions": (f"test_predictions_{request.loop}.json", tested["predictions"]),
            "metrics": (f"metrics_{request.loop}.json", metrics),
        }
        if request.loop == 0:
            names["test_ground_truth"] = ("test_ground_truth.json", tested["labels"])
        artifacts = {
            name: self._storage.write_json(f"{request.prefix}/{file}", value)
            for name, (file, value) in names.items()
        }
        return {"artifacts": artifacts, "metrics": metrics}

    def _infer(
        self, request: LoopRequest, checkpoint: str, unlabeled: list[int], task: str | None
    ) -> dict[str, Any]:
        if not unlabeled:
            return {"artifacts": {}, "count": 0}
        payload = {"ckpt_file": checkpoint, "unlabeled": unlabeled}
        stem = f"{request.prefix}/infer_outputs_{request.loop}"
        outputs = self._functions.infer_or_database(payload, request.loop)
        if isinstance(outputs, Path):
            address = self._storage.write_file(f"{stem}.db", outputs)
            return {"artifacts": {"infer_outputs": address}, "count": len(unlabeled)}
        if task == REGRESSION:
            stem = f"{request.prefix}/regression_predictions_{request.loop}"
        address = store_outputs(self._storage, stem, outputs, task)
        return {"artifacts": {"infer_outputs": address}, "count": len(outputs)}


def _selected_path(request: LoopRequest, loop: int) -> str:
    return f"{request.prefix}/selected_indices_{loop}.json"


def store_outputs(
    storage: Storage, stem: str, outputs: Mapping[int, Any], task: str | None = None
) -> str:
    """Write outputs as NPZ where they are logits, else as JSON; return the address.

    The NPZ file holds `index` `[N]`, `logits` `[N, C]`, and what follows from them: `softmax`,
    `confidence`, `margin` and `entropy`, or for several classes a record `sigmoid`, `margin` and
    `entropy`. That of a regression holds `index` and `predictions` `[N]`.

    Args:
        storage: Where to.
        stem: The path without its suffix.
        outputs: By record.
        task: One of `tasks`, if it is known.

    Raises:
        PipelineError: They are no plain values (422).
    """
    if task in (DETECTION, SEGMENTATION) or (task is None and _is_detection(outputs)):
        return storage.write_json(f"{stem}.json", to_plain(dict(outputs), "infer", "outputs"))
    arrays = {"index": np.array(list(outputs), dtype=np.int64)}
    if task == REGRESSION:
        return storage.write_arrays(f"{stem}.npz", {**arrays, "predictions": to_numbers(outputs)})
    logits = to_logits(outputs)
    of_classes = independent_classes if task == MULTI_LABEL else distribution
    return storage.write_arrays(f"{stem}.npz", {**arrays, "logits": logits, **of_classes(logits)})


def _is_detection(outputs: Mapping[int, Any]) -> bool:
    first = next(iter(outputs.values()), None)
    return isinstance(first, Mapping) and "boxes" in first
