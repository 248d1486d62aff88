"""Checkpoints of a pipeline: which training wrote each, and where."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allencv_al.common.files.atomic_file import flush, write_json
from allencv_al.service.pipeline.pipeline_errors import FunctionError
from allencv_al.service.pipeline.state.storage import Storage

logger = logging.getLogger(__name__)

_RUN = uuid.uuid4().hex  # a process id alone may be used again
_CLOCK = 2.0  # seconds by which a file system's clock may lag


@dataclass(frozen=True)
class Training:
    """The last training with a given checkpoint name.

    Args:
        owner: The experiment; None for a request to `/train`.
        is_file: Whether it wrote the checkpoint to EXPT_DIR. If not, the functions keep their model
            elsewhere, perhaps in memory.
        process: Id of the process that trained.
    """

    owner: str | None
    is_file: bool
    process: str


class Checkpoints:
    """Checkpoints of a pipeline with their owners.

    All experiments of a pipeline use the same checkpoint names (`ckpt_0`), so one may overwrite
    those of another; and functions may write none at all.

    Args:
        args: The functions' settings; they write to its EXPT_DIR.
        folder: Folder of the pipeline's state.
    """

    def __init__(self, args: Mapping[str, Any], folder: Path) -> None:
        self._args = args
        self._folder = folder / "checkpoints"
        self._is_said = False

    def find(self, name: str) -> Path | None:
        """Return the file of a checkpoint, or None; functions may add a suffix."""
        folder = Path(str(self._args["EXPT_DIR"]))
        matches = [folder / name, *sorted(folder.glob(f"{name}.*"))]
        return next((path for path in matches if path.exists()), None)

    def begin(self, name: str, owner: str | None) -> float:
        """Record that a training may overwrite a checkpoint from now on; return the time.

        Args:
            name: Checkpoint name.
            owner: The experiment; None for a request to `/train`.
        """
        write_json(self._path(name), asdict(Training(owner, True, _process())))
        return time.time()

    def end(self, name: str, owner: str | None, began: float) -> Path | None:
        """Flush the written checkpoint, then record the training; return the file, if any.

        Args:
            name: Checkpoint name.
            owner: As given to `begin`.
            began: Time that `begin` returned.
        """
        path = self.find(name)
        if path is not None and max(map(_written, _parts(path))) < began - _CLOCK:
            path = None  # written by an earlier training with other functions
        if path is not None:
            for part in _parts(path):
                flush(part)
            flush(path.parent)
        elif not self._is_said:
            self._is_said = True
            logger.warning(
                "train: no checkpoint %s in EXPT_DIR; functions that keep their model in memory "
                "need a single long-lived worker",
                name,
            )
        write_json(self._path(name), asdict(Training(owner, path is not None, _process())))
        return path

    def training(self, name: str) -> Training | None:
        """Return the last training of a checkpoint name, or None."""
        path = self._path(name)
        if not path.is_file():
            return None
        return Training(**json.loads(path.read_text(encoding="utf-8")))

    def fault(self, name: str, owner: str) -> str | None:
        """Return why the experiment's checkpoint is not available; None if it is."""
        training = self.training(name)
        if training is not None and training.owner != owner:
            other = "a request to /train" if training.owner is None else training.owner
            return f"the checkpoint {name} in EXPT_DIR was overwritten by {other}"
        if (training is None or training.is_file) and self.find(name) is None:
            return f"expected the checkpoint {name} in EXPT_DIR"
        return None

    def is_elsewhere(self, name: str) -> bool:
        """Return whether an in-memory model would be in another process."""
        training = self.training(name)
        return training is not None and not training.is_file and training.process != _process()

    def fetch(self, name: str, owner: str, storage: Storage) -> bool:
        """Copy a checkpoint of the experiment from the storage; return whether it is there.

        The file here may be missing, since another machine trained, or be that of another
        experiment.

        Args:
            name: Checkpoint name; the file may have a suffix.
            owner: The experiment, which is its storage prefix.
            storage: Storage of the pipeline.
        """
        names = storage.names(owner)
        kept = next((one for one in names if one == name or one.startswith(f"{name}.")), None)
        if kept is None:
            return False
        began = self.begin(name, owner)
        storage.fetch(f"{owner}/{kept}", Path(str(self._args["EXPT_DIR"])) / kept)
        self.end(name, owner, began)
        return True

    @contextmanager
    def needed(self, name: str) -> Iterator[list[str]]:
        """Explain errors of a block whose model may be in another process.

        Yields:
            Warnings for the answer; they are added to the error of a failing function.
        """
        if not self.is_elsewhere(name):
            yield []
            return
        note = (
            f"train wrote no checkpoint {name} to EXPT_DIR and ran in another process: functions "
            "that keep their model in memory need a single long-lived worker"
        )
        logger.warning("%s", note)
        try:
            yield [note]
        except FunctionError as error:
            error.args = (f"{error} ({note})",)
            raise

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _process() -> str:
    return f"{os.getpid()}-{_RUN}"


def _parts(path: Path) -> list[Path]:
    """Return a file, or a folder's entries followed by the folder."""
    within = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []
    return [*(part for part in within if part.exists()), path]


def _written(path: Path) -> float:
    """Return when a file was written or moved to its place."""
    found = path.stat()
    return max(found.st_mtime, found.st_ctime)
