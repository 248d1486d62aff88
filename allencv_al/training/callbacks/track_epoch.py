"""Set the current epoch on the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.training.callbacks.base import TrainerCallback

if TYPE_CHECKING:
    from allencv_al.training.trainers.base import EpochTrainer


_ATTRIBUTE = "epoch"


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
