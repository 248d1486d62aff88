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
from allencv_al.service.pipeline.loop_request import LoopRequest
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.state.checkpoints import Checkpoints
from allencv_al.service.pipeline.state.experiment_state import ExperimentState
from allencv_al.service.pipeline.state.storage import Storage, check_id
from allencv_al.service.pipeline.tasks.infer_outputs import notes_on, store_outputs
from allencv_al.service.pipeline.tasks.pipeline_metrics import metrics_of
from allencv_al.service.pipeline.tasks.tasks import REGRESSION, SINGLE_LABEL, named_task

logger = logging.getLogger(__name__)

TRAIN, TEST, INFER = PHASES = ("train", "test", "infer")


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


class PipelineLoop:
    """Runs one loop, each phase once: after a kill, finished phases are not repeated.

    A phase is recorded only after its files are flushed, so no record refers to files that a power
    cut has removed.

    Args:
        request: The request for the loop.
        functions: The user's functions.
        storage: Storage for the results.
        folder: Local folder of the pipeline's state.
        checkpoints: Checkpoints that the functions write.
        options: Options for the stored files.
        on_phase: Called with the name of each phase that starts.
    """

    def __init__(
        self,
        request: LoopRequest,
        functions: Functions,
        storage: Storage,
        folder: Path,
        checkpoints: Checkpoints,
        options: LoopOptions,
        on_phase: Callable[[str], None] = lambda phase: None,
    ) -> None:
        self._request = request
        self._loop = request.loop
        self._functions = functions
        self._storage = storage
        self._state = ExperimentState(folder, request.prefix)
        self._checkpoints = checkpoints
        self._options = options
        self._on_phase = on_phase
        self._checkpoint = self._checkpoint_of(request.loop)

    def run(self) -> dict[str, Any]:
        """Run the loop; return its metrics, the addresses of its files and the phases' results.

        Raises:
            PipelineError: The request, a function or the storage failed.
        """
        try:
            return self._run()
        except PipelineError as error:
            error.loop = self._loop
            raise

    def _run(self) -> dict[str, Any]:
        size = self._size()
        before, chosen = self._records(size)
        labeled = sorted([*before, *chosen])
        # Before a phase begins: the first is a training, which may take hours
        self._check_loop_before(before, size)
        if self._request.selected is not None:  # only now: a refused selection must not be stored
            self._storage.write_json(self._request.selected_path(self._loop), chosen)
        # A phase counts as done for these records alone: other ones are another training
        asked = _digest([labeled, size])
        # Recorded as begun and so no longer as done: training, test and inference follow anew
        if not self._has_model(asked):
            self._state.begin(self._loop, TRAIN)
        unlabeled = sorted(set(range(size)) - set(labeled))
        done: dict[str, dict[str, Any]] = {}
        phases: dict[str, Callable[[], dict[str, Any]]] = {
            TRAIN: lambda: self._train(labeled),
            TEST: self._test,
            INFER: lambda: self._infer(unlabeled, named_task(done[TEST]["metrics"].get("task"))),
        }
        artifacts: dict[str, str] = {}
        for phase, act in phases.items():
            done[phase] = self._once(phase, asked, act)
            artifacts.update(done[phase].pop("artifacts"))
        done[TRAIN].pop("records", None)
        warnings = [note for phase in PHASES for note in done[phase].pop("warnings", [])]
        return {
            "loop": self._loop,
            "metrics": done[TEST]["metrics"],
            "artifacts": artifacts,
            "warnings": warnings,
            "phases": {"train": done[TRAIN], "infer": done[INFER]},
        }

    def _once(self, phase: str, asked: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        found = self._state.phase(self._loop, phase, asked)
        paths = {} if found is None else self._paths(found)
        # Also where its files are gone: they are what the request is for
        if found is None or not all(map(self._storage.exists, paths.values())):
            self._on_phase(phase)
            self._state.begin(self._loop, phase)
            found = act()
            self._state.finish(self._loop, phase, asked, found)
            paths = self._paths(found)
        # The storage may have been moved since
        addresses = {name: self._storage.url(path) for name, path in paths.items()}
        return {**found, "artifacts": addresses}

    def _paths(self, detail: Mapping[str, Any]) -> dict[str, str]:
        """Return the paths of the files of a finished phase."""
        return {
            name: self._request.path(posixpath.basename(address))
            for name, address in detail["artifacts"].items()
        }

    # -- Checks before any phase ----------------------------------------------------------------

    def _has_model(self, asked: str) -> bool:
        """Return whether the remaining phases can load the model of the finished training."""
        # Test and inference load the checkpoint: it matters where one of them is still to come
        finished = [self._state.phase(self._loop, phase, asked) for phase in PHASES]
        if finished[0] is None or None not in finished:
            return True  # it is trained anyway, or not needed
        fault = self._checkpoints.fault(self._checkpoint, self._request.prefix)
        if fault is None and self._checkpoints.is_elsewhere(self._checkpoint):
            fault = f"{self._checkpoint} was not written to EXPT_DIR, and its process has ended"
        if fault is not None:
            logger.warning("loop %d is trained again: %s", self._loop, fault)
        return fault is None

    def _check_loop_before(self, before: list[int], size: int) -> None:
        """Raise unless the previous loop is finished, here or on another machine."""
        loop = self._loop - 1
        if loop < 0:
            return
        finished = self._state.finished(loop)
        if finished is None:
            # Another machine wrote to the same storage: its results count, though nothing is
            # recorded here
            if self._is_stored(loop, len(before) == size):
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
        )

    def _is_stored(self, loop: int, is_last: bool) -> bool:
        """Return whether the storage holds the results of a whole loop of another machine."""
        names = self._storage.names(self._request.prefix)
        inferred = (f"infer_outputs_{loop}.", f"regression_predictions_{loop}.")
        return f"metrics_{loop}.json" in names and (
            is_last or any(name.startswith(inferred) for name in names)
        )

    def _size(self) -> int:
        if self._request.size is not None:
            return self._request.size
        if self._functions.has_state:
            state = self._functions.state()
            if isinstance(state, Mapping | list) and state:
                return len(state)
        raise PipelineError(
            422,
            "training_set_size",
            "the number of records is unknown: give training_set_size in the request or "
            "train_size in meta.json, or return at least one record from getdatasetstate",
        )

    def _records(self, size: int) -> tuple[list[int], Sequence[int]]:
        """Return the records chosen in earlier loops, and those chosen for this one."""
        before = [one for loop in range(self._loop) for one in self._selected(loop)]
        if self._request.selected is None:
            chosen = self._selected(self._loop)
        else:
            chosen = check_records(self._request.selected, size, "selected_indices")
        if not check_records([*before, *chosen], size, "the records chosen so far"):
            raise PipelineError(422, "selected_indices", "no records were chosen")
        return sorted(before), chosen

    def _selected(self, loop: int) -> list[int]:
        path = self._request.selected_path(loop)
        try:
            found = self._storage.read_json(path)
        except DataError as error:
            raise PipelineError(422, "selected_indices", f"loop {loop}: {error}") from error
        if not isinstance(found, list) or any(type(one) is not int for one in found):
            message = f"loop {loop}: {path}: expected a list of whole numbers"
            raise PipelineError(422, "selected_indices", message)
        return found

    # -- Phases -----------------------------------------------------------------------------------

    def _train(self, labeled: list[int]) -> dict[str, Any]:
        resume_from = None
        artifacts: dict[str, Any] = {}
        if self._loop > 0:
            resume_from = self._checkpoint_of(self._loop - 1)
            # Before the function of the user: it would train from its first weights without a word
            self._need_checkpoint(resume_from)
        elif self._functions.has_state:
            artifacts["data_map"] = self._keep("data_map", self._functions.state())
        payload = {"labeled": labeled, "resume_from": resume_from, "ckpt_file": self._checkpoint}
        # Noted before and after: a kill in between leaves a checkpoint that is known as unfinished
        began = self._checkpoints.begin(self._checkpoint, self._request.prefix)
        with self._checkpoints.needed(resume_from or self._checkpoint) as warnings:
            trained = self._functions.train(payload, self._loop)
        path = self._checkpoints.end(self._checkpoint, self._request.prefix, began)
        insights = {
            "train_time": trained.seconds,
            "num_queried_per_class": trained.queried_per_class,
            "hyperparams": trained.hyperparams,
        }
        artifacts["insights"] = self._keep(f"insights_{self._loop}", insights)
        if self._options.keep_checkpoints:
            artifacts.update(self._keep_checkpoint(path))
        return {
            "artifacts": artifacts,
            "records": _digest(labeled),
            "warnings": warnings,
            **{k: v for k, v in asdict(trained).items() if v is not None},
        }

    def _test(self) -> dict[str, Any]:
        tested = self._functions.test({"ckpt_file": self._checkpoint}, self._loop)
        predictions, labels = tested["predictions"], tested["labels"]
        metrics = metrics_of(predictions, labels, self._request.class_labels, self._request.task)
        artifacts = {
            "test_predictions": self._keep(f"test_predictions_{self._loop}", predictions),
            "metrics": self._keep(f"metrics_{self._loop}", metrics),
        }
        if self._loop == 0:
            artifacts["test_ground_truth"] = self._keep("test_ground_truth", labels)
        return {"artifacts": artifacts, "metrics": metrics}

    def _infer(self, unlabeled: list[int], task: str | None) -> dict[str, Any]:
        if not unlabeled:
            return {"artifacts": {}, "count": 0}
        payload = {"ckpt_file": self._checkpoint, "unlabeled": unlabeled}
        stem = self._request.path(f"infer_outputs_{self._loop}")
        outputs = self._functions.infer_or_database(payload, self._loop)
        if isinstance(outputs, Path):
            # The function wrote its outputs to a database of its own, which is kept as it is
            address = self._storage.write_file(f"{stem}.db", outputs)
            return {"artifacts": {"infer_outputs": address}, "count": len(unlabeled)}
        if task == REGRESSION:
            stem = self._request.path(f"regression_predictions_{self._loop}")
        address = store_outputs(self._storage, stem, outputs, task)
        if self._options.write_pickles:
            self._storage.write_pickle(f"{stem}.pkl", to_plain(dict(outputs), "infer", "outputs"))
        found = {"artifacts": {"infer_outputs": address}, "count": len(outputs)}
        notes = notes_on(outputs) if task in (None, SINGLE_LABEL) else []
        return {**found, "warnings": notes} if notes else found

    def _keep(self, stem: str, value: Any) -> str:
        """Write a value as JSON, and as a pickle if asked; return the address."""
        path = self._request.path(stem)
        if self._options.write_pickles:
            self._storage.write_pickle(f"{path}.pkl", value)
        return self._storage.write_json(f"{path}.json", value)

    # -- Checkpoints ------------------------------------------------------------------------------

    def _checkpoint_of(self, loop: int) -> str:
        return f"ckpt_{loop}{self._functions.args.get('CKPT_EXT', '')}"

    def _keep_checkpoint(self, found: Path | None) -> dict[str, str]:
        if found is None or not found.is_file():
            logger.warning(
                "train: expected the checkpoint %s as a file in EXPT_DIR", self._checkpoint
            )
            return {}
        path = self._request.path(check_id("ckpt_file", found.name))
        return {"checkpoint": self._storage.write_file(path, found)}

    def _need_checkpoint(self, name: str) -> None:
        """Raise unless the previous loop's checkpoint is here or can be fetched."""
        fault = self._checkpoints.fault(name, self._request.prefix)
        if fault is None or self._checkpoints.fetch(name, self._request.prefix, self._storage):
            return
        raise PipelineError(
            409,
            "checkpoint",
            f"train: {fault}, from which this loop continues; keep_checkpoints=True keeps those of "
            "each experiment in the storage, and an EXPT_DIR of its own keeps experiments apart",
            "train",
        )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
