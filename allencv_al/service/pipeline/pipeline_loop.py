"""One loop of a pipeline: train, test and infer, with stored results."""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.service.pipeline.functions.returns import to_plain
from allencv_al.service.pipeline.functions.user_functions import Functions, check_records
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.state.checkpoints import Checkpoints
from allencv_al.service.pipeline.state.experiment_state import ExperimentState
from allencv_al.service.pipeline.state.storage import Storage, check_id
from allencv_al.service.pipeline.state.stored_outputs import said_notes, store_outputs
from allencv_al.service.pipeline.tasks.pipeline_metrics import metrics_of
from allencv_al.service.pipeline.tasks.tasks import CLASSIFICATION, REGRESSION

logger = logging.getLogger(__name__)

TRAIN, TEST, INFER = PHASES = ("train", "test", "infer")


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


@dataclass(frozen=True)
class LoopOptions:
    """Options for what loops store beside their results.

    Args:
        write_pickles: Whether to write each JSON file as a pickle too, for old readers.
        keep_checkpoints: Whether to copy checkpoints to the storage, and to fetch from there
            those that EXPT_DIR lacks.
    """

    write_pickles: bool = False
    keep_checkpoints: bool = False


class LoopRunner:
    """Runs loops, each phase once: after a kill, finished phases are not repeated.

    A phase is recorded only after its files are flushed, so no record refers to files that a power
    cut has removed.

    Args:
        functions: The user's functions.
        storage: Storage for the results.
        state: Finished phases of the experiment.
        checkpoints: Checkpoints that the functions write.
        options: Options for the stored files.
        on_phase: Called with the name of each phase that starts.
    """

    def __init__(
        self,
        functions: Functions,
        storage: Storage,
        state: ExperimentState,
        checkpoints: Checkpoints,
        options: LoopOptions,
        on_phase: Callable[[str], None] = lambda phase: None,
    ) -> None:
        self._functions = functions
        self._storage = storage
        self._state = state
        self._checkpoints = checkpoints
        self._options = options
        self._on_phase = on_phase

    def run(self, request: LoopRequest) -> dict[str, Any]:
        """Run a loop; return its metrics, the addresses of its files and the phases' results.

        Raises:
            PipelineError: The request, a function or the storage failed.
        """
        size = self._size(request)
        before, chosen = self._records(request, size)
        labeled = sorted([*before, *chosen])
        self._check_loop_before(request, before, size)
        if request.selected is not None:  # only now: a refused selection must not be stored
            self._storage.write_json(_selected_path(request, request.loop), chosen)
        extension = str(self._functions.args.get("CKPT_EXT", ""))
        checkpoint = f"ckpt_{request.loop}{extension}"
        asked = _digest([labeled, size])
        if not self._has_model(request, checkpoint, asked):
            self._state.begin(request.loop, TRAIN)
        unlabeled = sorted(set(range(size)) - set(labeled))
        done: dict[str, dict[str, Any]] = {}
        phases: dict[str, Callable[[], dict[str, Any]]] = {
            TRAIN: lambda: self._train(request, labeled, checkpoint),
            TEST: lambda: self._test(request, checkpoint),
            INFER: lambda: self._infer(
                request, checkpoint, unlabeled, done[TEST]["metrics"].get("task")
            ),
        }
        artifacts: dict[str, str] = {}
        for phase, act in phases.items():
            done[phase] = self._once(request, phase, asked, act)
            artifacts.update(done[phase].pop("artifacts"))
        done[TRAIN].pop("records", None)
        warnings = [note for phase in PHASES for note in done[phase].pop("warnings", [])]
        return {
            "loop": request.loop,
            "metrics": done[TEST]["metrics"],
            "artifacts": artifacts,
            "warnings": warnings,
            "phases": {"train": done[TRAIN], "infer": done[INFER]},
        }

    def _once(
        self, request: LoopRequest, phase: str, asked: str, act: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        found = self._state.phase(request.loop, phase, asked)
        paths = {} if found is None else _paths(request, found)
        if found is None or not all(map(self._storage.exists, paths.values())):
            self._on_phase(phase)
            self._state.begin(request.loop, phase)
            try:
                found = act()
            except PipelineError as error:
                error.loop = request.loop
                raise
            self._state.finish(request.loop, phase, asked, found)
            paths = _paths(request, found)
        # The storage may have been moved since
        addresses = {name: self._storage.url(path) for name, path in paths.items()}
        return {**found, "artifacts": addresses}

    def _has_model(self, request: LoopRequest, checkpoint: str, asked: str) -> bool:
        """Return whether the remaining phases can load the model of the finished training."""
        finished = [self._state.phase(request.loop, phase, asked) for phase in PHASES]
        if finished[0] is None or None not in finished:
            return True  # it is trained anyway, or not needed
        fault = self._checkpoints.fault(checkpoint, request.prefix)
        if fault is None and self._checkpoints.is_elsewhere(checkpoint):
            fault = f"{checkpoint} was not written to EXPT_DIR, and its process has ended"
        if fault is not None:
            logger.warning("loop %d is trained again: %s", request.loop, fault)
        return fault is None

    def _check_loop_before(self, request: LoopRequest, before: list[int], size: int) -> None:
        """Raise unless the previous loop is finished, here or on another machine."""
        loop = request.loop - 1
        if loop < 0:
            return
        finished = self._state.finished(loop)
        if finished is None:
            if self._is_stored(request, loop, len(before) == size):
                return
            finished = {}
        missing = [phase for phase in PHASES if phase not in finished]
        records = finished.get(TRAIN, {}).get("records", _digest(before))
        if not missing and records == _digest(before):
            return
        lacking = " and ".join(missing) or "a training on the records that are chosen for it now"
        raise PipelineError(
            409,
            "unfinished",
            f"loop {loop} is not finished: it lacks {lacking}; send its request again first",
            loop=request.loop,
        )

    def _is_stored(self, request: LoopRequest, loop: int, is_last: bool) -> bool:
        """Return whether the storage holds the results of a whole loop of another machine."""
        names = self._storage.names(request.prefix)
        inferred = (f"infer_outputs_{loop}.", f"regression_predictions_{loop}.")
        return f"metrics_{loop}.json" in names and (
            is_last or any(name.startswith(inferred) for name in names)
        )

    def _size(self, request: LoopRequest) -> int:
        if request.size is not None:
            return request.size
        if self._functions.has_state:
            state = self._functions.state()
            if isinstance(state, Mapping | list) and state:
                return len(state)
        raise PipelineError(
            422,
            "training_set_size",
            "the number of records is unknown: give training_set_size in the request or "
            "train_size in meta.json, or return at least one record from getdatasetstate",
            loop=request.loop,
        )

    def _records(self, request: LoopRequest, size: int) -> tuple[list[int], list[int]]:
        """Return the records chosen in earlier loops, and those chosen for this one."""
        before = [one for loop in range(request.loop) for one in self._selected(request, loop)]
        if request.selected is None:
            chosen = self._selected(request, request.loop)
        else:
            chosen = check_records(request.selected, size, "selected_indices")
        if not check_records([*before, *chosen], size, "the records chosen so far"):
            raise PipelineError(
                422, "selected_indices", "no records were chosen", loop=request.loop
            )
        return sorted(before), chosen

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
        artifacts: dict[str, Any] = {}
        if request.loop > 0:
            extension = str(self._functions.args.get("CKPT_EXT", ""))
            resume_from = f"ckpt_{request.loop - 1}{extension}"
            self._have_checkpoint(request, resume_from)
        elif self._functions.has_state:
            artifacts["data_map"] = self._keep(request, "data_map", self._functions.state())
        payload = {"labeled": labeled, "resume_from": resume_from, "ckpt_file": checkpoint}
        began = self._checkpoints.begin(checkpoint, request.prefix)
        with self._checkpoints.needed(resume_from or checkpoint) as warnings:
            trained = self._functions.train(payload, request.loop)
        path = self._checkpoints.end(checkpoint, request.prefix, began)
        insights = {
            "train_time": trained.seconds,
            "num_queried_per_class": trained.queried_per_class,
            "hyperparams": trained.hyperparams,
        }
        artifacts["insights"] = self._keep(request, f"insights_{request.loop}", insights)
        if self._options.keep_checkpoints:
            artifacts.update(self._keep_checkpoint(request, checkpoint, path))
        return {
            "artifacts": artifacts,
            "records": _digest(labeled),
            "warnings": warnings,
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
        """Write a value as JSON, and as a pickle if asked; return the address."""
        path = f"{request.prefix}/{stem}"
        if self._options.write_pickles:
            self._storage.write_pickle(f"{path}.pkl", value)
        return self._storage.write_json(f"{path}.json", value)

    def _keep_checkpoint(
        self, request: LoopRequest, checkpoint: str, found: Path | None
    ) -> dict[str, str]:
        if found is None or not found.is_file():
            logger.warning("train: expected the checkpoint %s as a file in EXPT_DIR", checkpoint)
            return {}
        path = f"{request.prefix}/{check_id('ckpt_file', found.name)}"
        return {"checkpoint": self._storage.write_file(path, found)}

    def _have_checkpoint(self, request: LoopRequest, name: str) -> None:
        """Raise unless the previous loop's checkpoint is here or can be fetched."""
        fault = self._checkpoints.fault(name, request.prefix)
        if fault is None:
            return
        kept = [
            file
            for file in self._storage.names(request.prefix)
            if file == name or file.startswith(f"{name}.")
        ]
        if kept:  # trained on another machine, or overwritten by another experiment
            began = self._checkpoints.begin(name, request.prefix)
            target = Path(str(self._functions.args["EXPT_DIR"])) / kept[0]
            self._storage.fetch(f"{request.prefix}/{kept[0]}", target)
            self._checkpoints.end(name, request.prefix, began)
            return
        raise PipelineError(
            409,
            "checkpoint",
            f"train: {fault}, from which this loop goes on; keep_checkpoints=True keeps those of "
            "each experiment in the storage, and an EXPT_DIR of its own keeps experiments apart",
            "train",
            request.loop,
        )


def _paths(request: LoopRequest, detail: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths of the files of a finished phase."""
    return {
        name: f"{request.prefix}/{posixpath.basename(address)}"
        for name, address in detail["artifacts"].items()
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _selected_path(request: LoopRequest, loop: int) -> str:
    return f"{request.prefix}/selected_indices_{loop}.json"
