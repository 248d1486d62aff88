"""The pictures of a run, drawn at its end."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.run_plots import (
    CONFUSION_MATRIX,
    TRAINING_CURVES,
    write_confusion_matrix,
    write_training_curves,
)

if TYPE_CHECKING:
    from pathlib import Path

    from allencv_al.training.trainers.base import EpochTrainer

logger = logging.getLogger(__name__)

# The first of these that the metrics have is drawn
_MATRICES = (
    "best_validation_confusion_matrix",
    "validation_confusion_matrix",
    "training_confusion_matrix",
)


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
