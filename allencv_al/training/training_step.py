"""One optimizer step: forward, backward, clip, schedule, step, average."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

from allencv_al.common.errors import CheckpointError, TrainingError

if TYPE_CHECKING:
    from allencv_al.data.batch import Batch
    from allencv_al.models.model import Model
    from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
    from allencv_al.training.momentum_schedulers import MomentumScheduler
    from allencv_al.training.moving_average import MovingAverage
    from allencv_al.training.precision import StepPrecision

ToDevice = Callable[["Batch"], Mapping[str, Any]]
OnBackward = Callable[[dict[str, Any]], bool]


class TrainingStep:
    """Turns a group of batches into one update of the weights.

    `count` is the number of steps so far. With `keep_outputs`, `inputs`, `outputs` and `grad_norm`
    are those of the last step, for callbacks; without, they stay empty, so that no memory is held.

    Args:
        model: The model, on its device and in train mode.
        optimizer: Its optimizer.
        precision: How the forward pass runs.
        to_device: Makes the model's arguments of a batch.
        learning_rate_scheduler: Told of each step before the optimizer acts.
        momentum_scheduler: The same for momentum.
        moving_average: Told of each step after the optimizer has acted.
        grad_norm: Scale gradients down to this norm; True only measures the norm.
        grad_clipping: Clip each gradient to plus or minus this value.
        copy_loss: Copy each loss: CUDA graphs overwrite what they returned.
    """

    def __init__(
        self,
        model: Model,
        optimizer: torch.optim.Optimizer,
        precision: StepPrecision,
        to_device: ToDevice,
        learning_rate_scheduler: LearningRateScheduler | None = None,
        momentum_scheduler: MomentumScheduler | None = None,
        moving_average: MovingAverage | None = None,
        grad_norm: float | bool | None = None,
        grad_clipping: float | None = None,
        copy_loss: bool = False,
    ) -> None:
        self.count = 0
        self.keep_outputs = False
        self.on_backward: OnBackward | None = None
        self.inputs: list[Mapping[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.grad_norm: torch.Tensor | None = None
        self._model = model
        self._optimizer = optimizer
        self._precision = precision
        self._to_device = to_device
        self._schedulers = [s for s in (learning_rate_scheduler, momentum_scheduler) if s]
        self._moving_average = moving_average
        self._max_norm = grad_norm if not isinstance(grad_norm, bool) else None
        self._measures_norm = grad_norm is True
        self._clip_value = grad_clipping
        self._copy_loss = copy_loss
        own = type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad
        self._clears_in_its_own_way = own
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Do one step and return its loss, a detached scalar that is still on the device."""
        self._clear_gradients()
        if self.keep_outputs:
            self.inputs, self.outputs = [], []
        loss = self._backward(batches[0], len(batches))
        for batch in batches[1:]:
            loss = loss + self._backward(batch, len(batches))
        self._limit_gradients()
        self.count += 1
        for scheduler in self._schedulers:
            scheduler.step_batch(self.count)
        scaler = self._precision.scaler
        if scaler is None:
            self._optimizer.step()
        else:
            scaler.step(self._optimizer)
            scaler.update()
        if self._moving_average is not None:
            self._moving_average.apply(self.count)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer and of everything that moves with it."""
        scaler = self._precision.scaler
        return {
            "count": self.count,
            "optimizer": self._optimizer.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self._schedulers],
            "moving_average": self._moving_average.state_dict() if self._moving_average else None,
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: If it does not fit the optimizer and the schedules.
        """
        try:
            self.count = state["count"]
            self._optimizer.load_state_dict(state["optimizer"])
            for scheduler, saved in zip(self._schedulers, state["schedulers"], strict=True):
                scheduler.load_state_dict(saved)  # after the optimizer: it freezes groups again
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"the saved optimizer does not fit this one: {error}") from error
        if self._moving_average is not None:
            self._moving_average.load_state_dict(state["moving_average"])
        if self._precision.scaler is not None and state["scaler"] is not None:
            self._precision.scaler.load_state_dict(state["scaler"])

    def _clear_gradients(self) -> None:
        if self._clears_in_its_own_way:
            self._optimizer.zero_grad()
            return
        for parameter in self._parameters:  # torch's own method spends 10 us on its profiler
            parameter.grad = None

    def _backward(self, batch: Batch, parts: int) -> torch.Tensor:
        inputs = self._to_device(batch)
        with self._precision.autocast():
            outputs: dict[str, Any] = self._model(**inputs)
            loss = self._loss(outputs, batch)
            penalty = self._model.get_regularization_penalty()
        if penalty is not None:
            loss = loss + penalty
        if parts > 1:
            loss = loss / parts  # the mean over the batches of the step, as of one large batch
        scaler = self._precision.scaler
        done = False
        if self.on_backward is not None:
            done = self.on_backward({**outputs, "loss": loss})
        if not done:
            torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
        if self.keep_outputs:
            self.inputs.append(inputs)
            self.outputs.append(outputs)
        detached = loss.detach()
        return detached.clone() if self._copy_loss else detached

    def _loss(self, outputs: dict[str, Any], batch: Batch) -> torch.Tensor:
        loss = outputs.get("loss")
        if loss is None:
            raise TrainingError(
                f"{type(self._model).__name__} gave no loss for a batch with the labels of "
                f"{', '.join(batch.ids[:3])} ...; training needs labeled images"
            )
        assert isinstance(loss, torch.Tensor)
        return loss

    def _limit_gradients(self) -> None:
        if self._max_norm is None and self._clip_value is None and not self._measures_norm:
            return
        if self._precision.scaler is not None:
            self._precision.scaler.unscale_(self._optimizer)
        if self._max_norm is not None:
            self.grad_norm = clip_grad_norm_(self._parameters, self._max_norm)
        elif self._measures_norm:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            self.grad_norm = get_total_norm(gradients)
        if self._clip_value is not None:
            clip_grad_value_(self._parameters, self._clip_value)
