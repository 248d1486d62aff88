"""Base class of the trainer's callbacks, with the moments at which they are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from allencv_al.common import Registrable

if TYPE_CHECKING:
    import torch

    from allencv_al.training.trainers.base import EpochTrainer

_HERE = "allencv_al.training.callbacks"


class TrainerCallback(Registrable):
    """Takes part in training; every method does nothing unless overridden.

    A method that a class does not override is never called, so it costs nothing. Whatever a
    callback must remember across an interruption belongs in `state_dict`.

    Args:
        serialization_dir: Folder of the run; None where nothing is to be written.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "confidence_checks": f"{_HERE}.confidence_checks",
        "console_logger": f"{_HERE}.console_logger",
        "metrics_jsonl": f"{_HERE}.metrics_jsonl",
        "pictures": f"{_HERE}.run_pictures",
        "tensorboard": f"{_HERE}.tensorboard",
        "track_epoch_callback": f"{_HERE}.track_epoch",
    }
    injected = ("serialization_dir",)

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        self.serialization_dir = None if serialization_dir is None else Path(serialization_dir)

    def on_start(self, trainer: EpochTrainer, is_primary: bool = True) -> None:
        """Before the first step of this process, new run or recovered.

        Args:
            trainer: The trainer, ready to go.
            is_primary: Whether this process writes files.
        """

    def on_backward(
        self,
        trainer: EpochTrainer,
        batch_outputs: dict[str, Any],
        backward_called: bool,
    ) -> bool:
        """After each forward pass.

        Args:
            trainer: The trainer.
            batch_outputs: The model's output, with its `loss`.
            backward_called: Whether a callback before this one has computed the gradients.

        Returns:
            Whether this callback has computed the gradients; if none does, the trainer does.
        """
        return False

    def on_batch(
        self,
        trainer: EpochTrainer,
        batch_inputs: list[Mapping[str, Any]],
        batch_outputs: list[dict[str, Any]],
        batch_metrics: dict[str, torch.Tensor],
        epoch: int,
        batch_number: int,
        is_training: bool = True,
        is_primary: bool = True,
        batch_grad_norm: torch.Tensor | None = None,
    ) -> None:
        """After each optimizer step.

        Reading a tensor's value waits for the device; do it now and then, not at every step.

        Args:
            trainer: The trainer.
            batch_inputs: The model's arguments, one for each batch of the step.
            batch_outputs: The model's outputs, likewise.
            batch_metrics: The `loss` of the step, still on the device.
            epoch: The epoch, counted from 0.
            batch_number: The step within the epoch, counted from 1.
            is_training: Always true.
            is_primary: Whether this process writes files.
            batch_grad_norm: The norm of the gradients, where the trainer measures it (`grad_norm`).
        """

    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        """After each epoch and its validation, before its checkpoint.

        Args:
            trainer: The trainer.
            metrics: The metrics so far, as metrics.json will have them.
            epoch: The epoch, counted from 0.
            is_primary: Whether this process writes files.
        """

    def on_end(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any] | None = None,
        epoch: int | None = None,
        is_primary: bool = True,
    ) -> None:
        """At the end, also of a training that failed or was interrupted.

        Args:
            trainer: The trainer.
                metrics: The final metrics; None if training did not finish.
            epoch: The last epoch that was complete, counted from 0; None if there is none.
            is_primary: Whether this process writes files.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a recovered run needs: tensors and JSON values."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
