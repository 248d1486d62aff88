"""Checkpoints, written atomically in the background and verified when read."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, doc

from allencv_al.common import ConfigurationError, Registrable
from allencv_al.common.errors import CheckpointError
from allencv_al.common.files.atomic_file import TEMPORARY_PREFIX, sweep_temporaries
from allencv_al.training.checkpoints.checkpoint_files import (
    MANIFEST,
    Checkpoint,
    Tensors,
    encode,
    read_checkpoint,
    read_weights,
    write_checkpoint,
    write_weights,
)

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
BEST_WEIGHTS = "best.safetensors"
_NAME = re.compile(r"e(\d+)_b(\d+)")
_NumberToKeep = Annotated[int, Ge(1), doc("--recover resumes from one; null keeps all")]


class Checkpointer(Registrable):
    """Keep the newest checkpoints and the best weights of a run.

    Each checkpoint is a folder `checkpoints/eE_bB` (E complete epochs, B batches of the next) that
    appears by one rename and holds the weights, the rest of the training state and a manifest with
    the SHA-256 of both. Reading takes the newest whose hashes hold. Saving copies the state into
    memory and writes it in the background; the next save, and the end, wait for it.

    Args:
        serialization_dir: Folder of the run.
        save_completed_epochs: Whether to write a checkpoint at the end of each epoch.
        save_every_num_seconds: Write one within an epoch when so many seconds have passed since
            the last.
        save_every_num_batches: Write one within an epoch after so many optimizer steps since the
            last.
        keep_most_recent_by_count: Number of checkpoints to keep; null keeps all. With one, a
            damaged disk block may leave none to resume from. None at all is refused: a run that is
            killed would start over. Those of a finished run may be removed with their folder.
        keep_most_recent_by_age: Also keep checkpoints younger than so many seconds.
        keep_serialized_model_every_num_seconds: Also keep, for good, one checkpoint in every so
            many seconds.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "default": "allencv_al.training.checkpoints.checkpointer"
    }
    default_implementation = "default"
    injected = ("serialization_dir",)

    def __init__(
        self,
        serialization_dir: str | Path,
        save_completed_epochs: bool = True,
        save_every_num_seconds: Annotated[float, Gt(0)] | None = None,
        save_every_num_batches: Annotated[int, Ge(1)] | None = None,
        keep_most_recent_by_count: _NumberToKeep | None = 2,
        keep_most_recent_by_age: Annotated[float, Gt(0)] | None = None,
        keep_serialized_model_every_num_seconds: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        self.save_completed_epochs = save_completed_epochs
        self._save_every_seconds = save_every_num_seconds
        self._save_every_batches = save_every_num_batches
        self._keep_count = keep_most_recent_by_count
        self._keep_age = keep_most_recent_by_age
        self._keep_one_every = keep_serialized_model_every_num_seconds
        self._best_path = Path(serialization_dir) / BEST_WEIGHTS
        self._folder = Path(serialization_dir) / FOLDER
        # Left by a process that was killed while it wrote or removed
        sweep_temporaries(self._folder)
        sweep_temporaries(serialization_dir)
        self._buffers: dict[str, torch.Tensor] = {}
        self._writer = _BackgroundWriter()
        self._saved: str | None = None
        self._restart_clock()

    def due(self) -> bool:
        """Count an optimizer step; return whether to save now."""
        self._steps_since_save += 1
        if self._save_every_batches and self._steps_since_save >= self._save_every_batches:
            return True
        if self._save_every_seconds is None:
            return False
        return time.monotonic() - self._saved_at >= self._save_every_seconds

    def save(
        self,
        epochs: int,
        batches: int,
        model: Tensors,
        state: Mapping[str, Any],
        best: Tensors | None = None,
    ) -> None:
        """Copy a training state and write it in the background.

        Args:
            epochs: Complete epochs.
            batches: Batches of the next epoch.
            model: The model's `state_dict`.
            state: Everything else: dicts, lists and tuples of tensors and JSON values.
            best: Weights that are now the best; written before the checkpoint.

        Raises:
            CheckpointError: This save or the one before it failed.
        """
        name = f"e{epochs}_b{batches}"
        # The job before may still read the buffers that are written into below
        self._writer.wait()
        self._restart_clock()
        # The end of an epoch and an interruption right after it are the same state
        if name == self._saved:
            return
        weights = self._snapshot("model", model)
        best_weights = None if best is None else self._snapshot("best", best)
        tree, tensors = encode(state, self._copy)
        self._saved = name

        def write() -> None:
            # Before the checkpoint: one that counts this epoch as the best must find its weights
            if best_weights is not None:
                write_weights(self._best_path, best_weights)
            write_checkpoint(self._folder / name, weights, tree, tensors)
            self._discard_old()

        self._writer.start(write)

    def save_best(self, best: Tensors) -> None:
        """Write the best weights in the background, without a checkpoint."""
        self._writer.wait()
        weights = self._snapshot("best", best)
        self._writer.start(lambda: write_weights(self._best_path, weights))

    def wait(self) -> None:
        """Wait until everything is on disk.

        Raises:
            CheckpointError: Writing failed; the message says what remains.
        """
        self._writer.wait()

    def list_checkpoints(self) -> list[str]:
        """Return the names of the checkpoints, the oldest first."""
        found = [(match, path) for path in self._folder.glob("*") if (match := _match(path))]
        # By number: as text, e10 stands before e9
        found.sort(key=lambda pair: (int(pair[0][1]), int(pair[0][2])))
        return [path.name for _, path in found]

    def check_unused(self) -> None:
        """Raise a ConfigurationError if there are checkpoints of another run."""
        names = self.list_checkpoints()
        if names:
            raise ConfigurationError(
                f"serialization_dir: expected a folder without checkpoints, found "
                f"{', '.join(names)} in {self._folder}; recover that run, or take another folder"
            )

    def load(self) -> Checkpoint | None:
        """Return the newest undamaged checkpoint; None if there is no checkpoint.

        Damaged ones are reported and removed.

        Raises:
            CheckpointError: All checkpoints are damaged.
        """
        self.wait()
        names = self.list_checkpoints()
        for name in reversed(names):
            try:
                checkpoint = read_checkpoint(self._folder / name)
            except CheckpointError as error:
                logger.warning("%s; resuming from the previous one", error)
                continue
            # A damaged newer one must not be found by the next resume, nor counted as kept
            for damaged in names[names.index(name) + 1 :]:
                self._remove(damaged)
            self._saved = name
            return checkpoint
        if names:
            raise CheckpointError(
                f"{self._folder}: none of {', '.join(names)} is whole, so there is nothing to "
                "recover from; start over with --force"
            )
        return None

    def load_best(self) -> dict[str, torch.Tensor] | None:
        """Return the best weights so far; None if none were saved.

        Raises:
            CheckpointError: If the file is damaged.
        """
        self.wait()
        return read_weights(self._best_path) if self._best_path.exists() else None

    def _restart_clock(self) -> None:
        self._saved_at = time.monotonic()
        self._steps_since_save = 0

    def _snapshot(self, prefix: str, tensors: Tensors) -> dict[str, torch.Tensor]:
        return {key: self._copy(f"{prefix}/{key}", tensor) for key, tensor in tensors.items()}

    def _copy(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            # New memory for every checkpoint would cost more than the copy itself
            buffer = self._buffers[name] = torch.empty_like(tensor, device="cpu")
        # On a GPU this waits: the copy must be done before the next step changes the tensor
        return buffer.copy_(tensor.detach())

    def _discard_old(self) -> None:
        names = self.list_checkpoints()
        if self._keep_count is None:
            return
        # Wall-clock time, because the ages are those of files, which a resumed run inherits
        now, last_kept = time.time(), float("-inf")
        for name in names[: -self._keep_count]:  # the oldest first, as `_keep_one_every` needs
            written = (self._folder / name / MANIFEST).stat().st_mtime
            if self._keep_one_every is not None and written - last_kept >= self._keep_one_every:
                last_kept = written
            elif self._keep_age is None or now - written > self._keep_age:
                self._remove(name)

    def _remove(self, name: str) -> None:
        # Renamed first: a kill in the middle of removing must not leave half a checkpoint
        doomed = self._folder / f"{TEMPORARY_PREFIX}{name}"
        (self._folder / name).replace(doomed)
        shutil.rmtree(doomed)


Checkpointer.register("default")(Checkpointer)


def has_checkpoints(folder: Path) -> bool:
    """Return whether the run in a folder has a checkpoint, damaged or not."""
    return any(map(_match, (folder / FOLDER).glob("*")))


def _match(path: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(path.name) if path.is_dir() else None


class _BackgroundWriter:
    """Runs one job at a time in a thread and raises its error in the caller that waits."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Run `job` in the background; wait for the previous job first."""
        # A daemon: the second Ctrl-C ends the process without waiting for the disk
        self._thread = threading.Thread(
            target=self._run, args=(job,), name="checkpoint writer", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait for the job.

        Raises:
            CheckpointError: If it failed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise CheckpointError(
                f"a checkpoint cannot be written: {error}; what was written before is intact, "
                "and --recover resumes from there"
            ) from error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # raised again in the thread that waits
            self._error = error
