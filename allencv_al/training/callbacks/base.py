"""Base class of callbacks, the moments that call them, and the list that does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from allencv_al.common import Registrable
from allencv_al.common.errors import CheckpointError
from allencv_al.common.files.json_values import not_json
from allencv_al.common.user_mistakes import UserCodeError, shown, wrong_result
from allencv_al.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    import torch

    from allencv_al.training.trainers.base import EpochTrainer


_HERE = "allencv_al.training.callbacks"

logger = logging.getLogger(__name__)


class TrainerCallback(Registrable):
    """Takes part in training; every method does nothing unless overridden.

    A method that a class does not override is never called, so it costs nothing. Whatever a
    callback must remember across an interruption belongs in `state_dict`.

    Args:
        serialization_dir: Folder of the run; None where nothing is to be written.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "confidence_checks": f"{_HERE}.standard_callbacks",
        "console_logger": f"{_HERE}.standard_callbacks",
        "metrics_jsonl": f"{_HERE}.standard_callbacks",
        "pictures": f"{_HERE}.standard_callbacks",
        "tensorboard": f"{_HERE}.tensorboard",
        "track_epoch_callback": f"{_HERE}.standard_callbacks",
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


class CallbackList:
    """Calls callbacks in their order, and only those that have something to do.

    Args:
        callbacks: The callbacks.
    """

    def __init__(self, callbacks: Sequence[TrainerCallback]) -> None:
        self._all = list(callbacks)
        self._on_batch = [c for c in self._all if _overrides(c, "on_batch")]
        self._on_backward = [c for c in self._all if _overrides(c, "on_backward")]

    def __iter__(self) -> Iterator[TrainerCallback]:
        return iter(self._all)

    @property
    def watches_batches(self) -> bool:
        """Whether `on_batch` has anything to do."""
        return bool(self._on_batch)

    @property
    def shows_batches_to_others(self) -> bool:
        """Whether a callback that is not of this package sees the batches."""
        seeing = (*self._on_batch, *self._on_backward)
        return any(not type(c).__module__.startswith("allencv_al.") for c in seeing)

    @property
    def watches_backward(self) -> bool:
        """Whether `on_backward` has anything to do."""
        return bool(self._on_backward)

    def on_start(self, trainer: EpochTrainer) -> None:
        """See `TrainerCallback`."""
        for callback in self._all:
            callback.on_start(trainer, is_primary=True)

    def on_backward(self, trainer: EpochTrainer, outputs: dict[str, Any]) -> bool:
        """Return whether any callback has computed the gradients."""
        done = False
        for callback in self._on_backward:
            # Each is called: one that only watches must see every pass
            done = callback.on_backward(trainer, outputs, done) or done
        return done

    def on_batch(self, trainer: EpochTrainer, loss: torch.Tensor, number: int) -> None:
        """See `TrainerCallback`; `number` counts the steps of the epoch from 1."""
        step = trainer.step
        for callback in self._on_batch:
            callback.on_batch(
                trainer,
                batch_inputs=step.inputs,
                batch_outputs=step.outputs,
                batch_metrics={"loss": loss},
                epoch=trainer.epochs_completed,
                batch_number=number,
                is_training=True,
                is_primary=True,
                batch_grad_norm=step.grad_norm,
            )

    def on_epoch(self, trainer: EpochTrainer, metrics: dict[str, Any], epoch: int) -> None:
        """See `TrainerCallback`."""
        for callback in self._all:
            callback.on_epoch(trainer, metrics, epoch, is_primary=True)
            # Checked after each, so that the message names the callback that did it
            odd = not_json(metrics)
            if odd is not None:
                raise UserCodeError(
                    f"{type(callback).__name__}.on_epoch: expected it to leave metrics that are "
                    f"JSON, found {shown(odd[1])} as {odd[0]}"
                )

    def on_end(
        self, trainer: EpochTrainer, metrics: dict[str, Any] | None, epoch: int | None
    ) -> Exception | None:
        """Call each callback, also after one has failed; return the first error."""
        first: Exception | None = None
        for callback in self._all:
            try:
                callback.on_end(trainer, metrics, epoch, is_primary=True)
            except TrainingInterrupted:  # the second signal ends the process at once
                raise
            except Exception as error:  # a user's class may raise anything
                logger.error("%s failed at the end: %s", type(callback).__name__, error)
                first = first or error
        return first

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of all callbacks."""
        # Checked here: where the checkpoint is read, it would be too late
        states = [callback.state_dict() for callback in self._all]
        for callback, state in zip(self._all, states, strict=True):
            if not isinstance(state, dict):
                raise wrong_result(callback, "state_dict", "a dictionary", state)
        return states

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Give each callback its state.

        Raises:
            CheckpointError: If there are more or fewer.
        """
        if len(states) != len(self._all):
            raise CheckpointError(
                f"the checkpoint is of {len(states)} callbacks, this training has {len(self._all)}"
            )
        for callback, state in zip(self._all, states, strict=True):
            callback.load_state_dict(state)


def _overrides(callback: TrainerCallback, method: str) -> bool:
    return getattr(type(callback), method) is not getattr(TrainerCallback, method)
