"""All callbacks of a trainer as one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from allencv_al.common.errors import CheckpointError
from allencv_al.common.files.json_values import not_json
from allencv_al.common.user_mistakes import UserCodeError, shown, wrong_result
from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    import torch

    from allencv_al.training.trainers.base import EpochTrainer

logger = logging.getLogger(__name__)


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
