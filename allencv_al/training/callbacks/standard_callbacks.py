"""Callbacks of the package itself: log, metrics, checks, pictures and the epoch."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.common.files.atomic_file import write_text
from allencv_al.common.progress import time_text
from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.run_plots import (
    CONFUSION_MATRIX,
    TRAINING_CURVES,
    write_confusion_matrix,
    write_training_curves,
)
from allencv_al.training.trainers.epoch_metrics import scalars

if TYPE_CHECKING:
    from allencv_al.training.trainers.base import EpochTrainer

logger = logging.getLogger(__name__)

_BOOKKEEPING = ("training_epochs", "training_start_epoch")

METRICS_LINES_NAME = "metrics.jsonl"

_ATTRIBUTE = "epoch"

# The first of these that the metrics have is drawn
_MATRICES = (
    "best_validation_confusion_matrix",
    "validation_confusion_matrix",
    "training_confusion_matrix",
)


@TrainerCallback.register("console_logger")
class ConsoleLoggerCallback(TrainerCallback):
    """Log the metrics of each epoch in one line, with the time that the epochs left will take.

    Epochs are counted from 0, as in the files: the first of 20 is `epoch 0/19`.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self._started = 0.0
        self._first = 0

    @overrides
    def on_start(self, trainer: EpochTrainer, is_primary: bool = True) -> None:
        self._started, self._first = time.monotonic(), trainer.epochs_completed

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        if not is_primary:
            return
        spent, done = time.monotonic() - self._started, epoch + 1 - self._first
        # By the epochs of this process: a recovered run does not know how long the earlier ones
        # took
        seconds = (trainer.num_epochs - 1 - epoch) * spent / done
        left = f"; about {time_text(seconds)} left" if seconds >= 1 else ""
        best = " (best so far)" if metrics.get("best_epoch") == epoch else ""
        figures = "; ".join(_parts(scalars(metrics)))
        logger.info("epoch %s: %s%s%s", trainer.epoch_text(epoch), figures, best, left)


def _parts(metrics: dict[str, float]) -> Iterator[str]:
    """Yield the figures of training and of validation (`training loss 0.12 accuracy 0.97`)."""
    for part in ("training", "validation"):
        names = [n for n in metrics if n.startswith(f"{part}_") and n not in _BOOKKEEPING]
        names.sort(key=lambda name: not name.endswith("_loss"))  # the loss first
        if names:
            figures = [f"{name.removeprefix(part + '_')} {metrics[name]:.4f}" for name in names]
            yield f"{part} {' '.join(figures)}"


@TrainerCallback.register("metrics_jsonl")
class MetricsJsonlCallback(TrainerCallback):
    """Write `metrics.jsonl`: one line for each epoch, with its metrics.

    `learning_rates` has the rate of each parameter group in the epoch's last step.

    A resumed run appends after the lines of its checkpoint, so no epoch occurs twice.

    Args:
        serialization_dir: Folder of the run; without one nothing is written.
    """

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self._lines: list[str] = []

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        line = {**scalars(metrics), "epoch": epoch, "learning_rates": trainer.learning_rates}
        self._lines.append(json.dumps(line, allow_nan=False))
        if self.serialization_dir is not None and is_primary:
            # Whole, not appended: a kill between two lines must not leave half of one
            write_text(self.serialization_dir / METRICS_LINES_NAME, "\n".join(self._lines) + "\n")

    @overrides
    def state_dict(self) -> dict[str, Any]:
        return {"lines": list(self._lines)}

    @overrides
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._lines = list(state_dict["lines"])


@TrainerCallback.register("confidence_checks")
class ConfidenceChecksCallback(TrainerCallback):
    """Warn after the first epoch of trainable parameters that no gradient has reached.

    They are not connected to the loss: a part of the model is built and never used. A resumed run
    checks again after its first epoch with optimizer steps.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self._trained: set[str] = set()
        self._steps_before = 0
        self._is_done = False

    @overrides
    def on_start(self, trainer: EpochTrainer, is_primary: bool = True) -> None:
        # Recorded before the first epoch: a group that gradual unfreezing releases after it has
        # no gradients yet, and must not be reported
        named = trainer.model.named_parameters()
        self._trained = {name for name, parameter in named if parameter.requires_grad}
        self._steps_before = trainer.steps_completed

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        # Without a step there is no gradient: a run may resume at the last batch of its epoch
        if self._is_done or not is_primary or trainer.steps_completed == self._steps_before:
            return
        self._is_done = True
        unused = [
            name
            for name, parameter in trainer.model.named_parameters()
            if name in self._trained and parameter.grad is None
        ]
        if unused:
            logger.warning(
                "no gradient has reached %d trainable parameters, so they do not learn: %s",
                len(unused),
                ", ".join(unused),
            )


@TrainerCallback.register("track_epoch_callback")
class TrackEpochCallback(TrainerCallback):
    """Set `model.epoch` to the current epoch, counted from 0, for models that change over time.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    @overrides
    def on_start(self, trainer: EpochTrainer, is_primary: bool = True) -> None:
        setattr(trainer.model, _ATTRIBUTE, trainer.epochs_completed)

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        setattr(trainer.model, _ATTRIBUTE, epoch + 1)


@TrainerCallback.register("pictures")
class PicturesCallback(TrainerCallback):
    """Draw `training_curves.png` and, where the model counts one, `confusion_matrix.png`.

    The confusion matrix is that of the validation data in the best epoch; without validation data,
    of the training data in the last.

    Args:
        serialization_dir: Folder of the run; without one nothing is drawn.
    """

    @overrides
    def on_end(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any] | None = None,
        epoch: int | None = None,
        is_primary: bool = True,
    ) -> None:
        folder = self.serialization_dir
        if folder is None or metrics is None or epoch is None or not is_primary:
            return
        try:
            write_training_curves(folder / TRAINING_CURVES, _history(folder, epoch))
        except (OSError, ValueError) as error:  # metrics of an epoch that cannot be read
            logger.warning("%s: not drawn: %s", folder / TRAINING_CURVES, error)
        name = next((name for name in _MATRICES if metrics.get(name)), None)
        if name is not None:
            model = trainer.model
            title = name.removesuffix("_confusion_matrix").replace("_", " ")
            namespace = getattr(model, "_label_namespace", "labels")
            write_confusion_matrix(
                folder / CONFUSION_MATRIX, metrics[name], model.vocab, title, namespace
            )


def _history(folder: Path, last_epoch: int) -> list[dict[str, Any]]:
    files = [folder / f"metrics_epoch_{epoch}.json" for epoch in range(last_epoch + 1)]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
