"""Find the checkpoints of a pipeline: in EXPT_DIR, or where its functions keep them."""

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

logger = logging.getLogger(__name__)

_RUN = uuid.uuid4().hex
_CLOCK = 2.0  # seconds by which the time of a file may be behind


@dataclass(frozen=True)
class Training:
    """The last training that was to write a checkpoint of some name.

    Args:
        owner: The experiment; None for a request to `/train`.
        is_file: Whether it has written the checkpoint to EXPT_DIR. If not, functions keep their
            model elsewhere, perhaps in the memory of their process.
        process: Where it ran.
    """

    owner: str | None
    is_file: bool
    process: str


class Checkpoints:
    """The checkpoints of a pipeline, and whose each is.

    All experiments of a pipeline name their checkpoints alike (`ckpt_0`), so that one may write
    over those of another; and nothing obliges functions to write any.

    Args:
        args: What functions read; its EXPT_DIR is where they write.
        folder: Of the pipeline's state.
    """

    def __init__(self, args: Mapping[str, Any], folder: Path) -> None:
        self._args = args
        self._folder = folder / "checkpoints"
        self._is_said = False

    def find(self, name: str) -> Path | None:
        """Return the file of a checkpoint, if it is there; functions may add a suffix."""
        folder = Path(str(self._args["EXPT_DIR"]))
        matches = [folder / name, *sorted(folder.glob(f"{name}.*"))]
        return next((path for path in matches if path.exists()), None)

    def begin(self, name: str, owner: str | None) -> float:
        """Record that a training may write over a checkpoint from now on; return the time.

        Args:
            name: Of the checkpoint.
            owner: The experiment; None for a request to `/train`.
        """
        write_json(self._path(name), asdict(Training(owner, True, _process())))
        return time.time()

    def end(self, name: str, owner: str | None, began: float) -> Path | None:
        """Record a training when what it has written is on the disk; return what that is.

        Args:
            name: Of the checkpoint.
            owner: As at the beginning.
            began: When that was.
        """
        path = self.find(name)
        if path is not None and max(map(_written, _parts(path))) < began - _CLOCK:
            path = None  # of an earlier training, by other functions
        if path is not None:
            for part in _parts(path):
                flush(part)
            flush(path.parent)
        elif not self._is_said:
            self._is_said = True
            logger.warning(
                "train: it has left no checkpoint %s in EXPT_DIR; a model that functions keep in "
                "memory needs a single worker that lives on",
                name,
            )
        write_json(self._path(name), asdict(Training(owner, path is not None, _process())))
        return path

    def training(self, name: str) -> Training | None:
        """Return the last training of a name; None where nothing is known of one."""
        path = self._path(name)
        if not path.is_file():
            return None
        return Training(**json.loads(path.read_text(encoding="utf-8")))

    def fault(self, name: str, owner: str) -> str | None:
        """Return why the model of a training of an experiment cannot be had; None where it can."""
        training = self.training(name)
        if training is not None and training.owner != owner:
            other = "a request to /train" if training.owner is None else training.owner
            return f"the checkpoint {name} in EXPT_DIR is by now that of {other}"
        if (training is None or training.is_file) and self.find(name) is None:
            return f"expected the checkpoint {name} in EXPT_DIR"
        return None

    def is_elsewhere(self, name: str) -> bool:
        """Return whether a model that may be in memory would be in that of another process."""
        training = self.training(name)
        return training is not None and not training.is_file and training.process != _process()

    @contextmanager
    def needed(self, name: str) -> Iterator[list[str]]:
        """Explain errors of a block whose model may be in another process.

        Yields:
            Warnings for the answer; a function that fails has them in its error.
        """
        if not self.is_elsewhere(name):
            yield []
            return
        note = (
            f"train has left no checkpoint {name} in EXPT_DIR, and ran in another process: "
            "functions that keep their model in memory need a single worker that lives on"
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
    """Return a file; of a folder what is in it, then itself."""
    within = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []
    return [*(part for part in within if part.exists()), path]


def _written(path: Path) -> float:
    """Return when a file was written, or put where it is."""
    found = path.stat()
    return max(found.st_mtime, found.st_ctime)
