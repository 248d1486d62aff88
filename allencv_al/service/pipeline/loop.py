"""One loop: train, test, infer, and what is kept of each."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.common.errors import DataError
from allencv_al.service.pipeline.activations import (
    distribution,
    independent_classes,
    notes_on,
    to_logits,
    to_numbers,
)
from allencv_al.service.pipeline.errors import PipelineError
from allencv_al.service.pipeline.experiment_state import ExperimentState
from allencv_al.service.pipeline.functions import Functions, check_records, checkpoint_of
from allencv_al.service.pipeline.metrics import metrics_of
from allencv_al.service.pipeline.returns import to_plain
from allencv_al.service.pipeline.storage import Storage, check_id
from allencv_al.service.pipeline.tasks import (
    CLASSIFICATION,
    DETECTION,
    MULTI_LABEL,
    REGRESSION,
    SEGMENTATION,
)

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class LoopOptions:
    """What loops keep beside their results.

    Args:
        write_pickles: Whether JSON files have a twin that is a pickle, for old readers.
        keep_checkpoints: Whether checkpoints are kept in the storage, too, and fetched from there
            where EXPT_DIR lacks one.
    """

    write_pickles: bool = False
    keep_checkpoints: bool = False


class LoopRunner:
    """Does loops, each phase once: after a kill, what is finished is not done again.

    Args:
        functions: The user's.
        storage: Where results are kept.
        state: How far the experiment is.
        options: What else is kept.
        on_phase: Called with the name of each phase that begins.
    """

    def __init__(
        self,
        functions: Functions,
        storage: Storage,
        state: ExperimentState,
        options: LoopOptions,
        on_phase: Callable[[str], None] = lambda phase: None,
    ) -> None:
        self._functions = functions
        self._storage = storage
        self._state = state
        self._options = options
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
        warnings = inferred.pop("warnings", [])
        return {
            "loop": request.loop,
            "metrics": tested["metrics"],
            "artifacts": artifacts,
            "phases": {"train": trained, "infer": inferred},
            "warnings": warnings,
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
            self._have_checkpoint(request, resume_from)
        elif self._functions.has_state:
            artifacts["data_map"] = self._keep(request, "data_map", self._functions.state())
        payload = {"labeled": labeled, "resume_from": resume_from, "ckpt_file": checkpoint}
        trained = self._functions.train(payload, request.loop)
        insights = {
            "train_time": trained.seconds,
            "num_queried_per_class": trained.queried_per_class,
            "hyperparams": trained.hyperparams,
        }
        artifacts["insights"] = self._keep(request, f"insights_{request.loop}", insights)
        if self._options.keep_checkpoints:
            artifacts.update(self._keep_checkpoint(request, checkpoint))
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
            "test_predictions": (f"test_predictions_{request.loop}", tested["predictions"]),
            "metrics": (f"metrics_{request.loop}", metrics),
        }
        if request.loop == 0:
            names["test_ground_truth"] = ("test_ground_truth", tested["labels"])
        artifacts = {
            name: self._keep(request, stem, value) for name, (stem, value) in names.items()
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
        if self._options.write_pickles:
            self._storage.write_pickle(f"{stem}.pkl", to_plain(dict(outputs), "infer", "outputs"))
        found = {"artifacts": {"infer_outputs": address}, "count": len(outputs)}
        notes = said_notes(outputs) if task in (None, CLASSIFICATION) else []
        return {**found, "warnings": notes} if notes else found

    def _keep(self, request: LoopRequest, stem: str, value: Any) -> str:
        """Write a value as JSON, and if that is wanted as a pickle; return the address."""
        path = f"{request.prefix}/{stem}"
        if self._options.write_pickles:
            self._storage.write_pickle(f"{path}.pkl", value)
        return self._storage.write_json(f"{path}.json", value)

    def _keep_checkpoint(self, request: LoopRequest, checkpoint: str) -> dict[str, str]:
        found = checkpoint_of(self._functions.args, checkpoint)
        if found is None or not found.is_file():
            logger.warning("train: expected the checkpoint %s as a file in EXPT_DIR", checkpoint)
            return {}
        path = f"{request.prefix}/{check_id('ckpt_file', found.name)}"
        return {"checkpoint": self._storage.write_file(path, found)}

    def _have_checkpoint(self, request: LoopRequest, name: str) -> None:
        """Raise where the checkpoint of the loop before is neither here nor in the storage."""
        if checkpoint_of(self._functions.args, name) is not None:
            return
        kept = [
            file
            for file in self._storage.names(request.prefix)
            if file == name or file.startswith(f"{name}.")
        ]
        if kept:  # another machine has trained it
            target = Path(str(self._functions.args["EXPT_DIR"])) / kept[0]
            self._storage.fetch(f"{request.prefix}/{kept[0]}", target)
            return
        raise PipelineError(
            409,
            "checkpoint",
            f"train: expected the checkpoint {name} of the loop before in EXPT_DIR",
            "train",
            request.loop,
        )


def _selected_path(request: LoopRequest, loop: int) -> str:
    return f"{request.prefix}/selected_indices_{loop}.json"


def said_notes(outputs: Mapping[int, Any]) -> list[str]:
    """Return what is odd about outputs, and log it."""
    notes = notes_on(outputs)
    for note in notes:
        logger.warning("%s", note)
    return notes


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
        task: One of `tasks`, if it is known. Boxes are always detections.

    Raises:
        PipelineError: They are no plain values, or not finite (422).
    """
    if task in (DETECTION, SEGMENTATION) or _is_detection(outputs):
        plain = to_plain(dict(outputs), "infer", "outputs", is_finite=True)
        return storage.write_json(f"{stem}.json", plain)
    arrays = {"index": np.array(list(outputs), dtype=np.int64)}
    if task == REGRESSION:
        return storage.write_arrays(f"{stem}.npz", {**arrays, "predictions": to_numbers(outputs)})
    logits = to_logits(outputs)
    of_classes = independent_classes if task == MULTI_LABEL else distribution
    return storage.write_arrays(f"{stem}.npz", {**arrays, "logits": logits, **of_classes(logits)})


def _is_detection(outputs: Mapping[int, Any]) -> bool:
    return any(isinstance(one, Mapping) and "boxes" in one for one in outputs.values())
