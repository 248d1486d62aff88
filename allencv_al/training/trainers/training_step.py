"""One optimizer step: forward, backward, clipping, in the precision that the device is fast in."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

from allencv_al.common.errors import CheckpointError, DataError, TrainingError
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.models.model import checked_outputs, is_one_value_error, one_value_message

if TYPE_CHECKING:
    from allencv_al.data.batch import Batch
    from allencv_al.models.model import Model
    from allencv_al.models.precision import StepPrecision
    from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
    from allencv_al.training.momentum_schedulers import MomentumScheduler
    from allencv_al.training.trainers.moving_average import MovingAverage


ToDevice = Callable[["Batch"], Mapping[str, Any]]
OnBackward = Callable[[dict[str, Any]], bool]


class TrainingStep:
    """Turns a group of batches into one update of the weights.

    `count` is the number of steps so far. With `keep_outputs`, `inputs`, `outputs` and `grad_norm`
    are those of the last step, for callbacks; without, they stay empty, which saves memory.

    Args:
        model: The model, on its device and in train mode.
        optimizer: Its optimizer.
        precision: Number format of the forward pass.
        to_device: Makes the model's arguments of a batch.
        learning_rate_scheduler: Called before each step of the optimizer.
        momentum_scheduler: The same for momentum.
        moving_average: Called after each step of the optimizer.
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
        self._limits = grad_norm not in (None, False) or grad_clipping is not None
        self._copy_loss = copy_loss
        # A user's optimizer may do more than clear the gradients
        own = type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad
        self._clears_in_its_own_way = own
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Do one step and return its loss, a detached scalar that is still on the device."""
        self._clear_gradients()
        if self.keep_outputs:
            self.inputs, self.outputs = [], []
        total = self._total_weight(batches) if len(batches) > 1 else None
        loss = self._backward(batches[0], len(batches), total)
        for batch in batches[1:]:
            loss = loss + self._backward(batch, len(batches), total)
        self._limit_gradients()
        if not self._overflowed():
            self._advance()
        if self._precision.scaler is not None:
            self._precision.scaler.update()
        return loss

    def without_schedules(self, to_device: ToDevice) -> TrainingStep:
        """Return the same step without schedules, averages and callbacks.

        Args:
            to_device: Makes the model's arguments of a batch.
        """
        step = copy.copy(self)
        step.count, step.keep_outputs, step.on_backward = 0, False, None
        step._schedulers, step._moving_average, step._to_device = [], None, to_device
        return step

    def _advance(self) -> None:
        """Update the weights, and the schedules and averages that count updates."""
        # AllenNLP's order: the schedulers set the rate of this step, the average sees its result
        self.count += 1
        for scheduler in self._schedulers:
            scheduler.step_batch(self.count)
        if self._precision.scaler is None:
            self._optimizer.step()
        else:
            self._precision.scaler.step(self._optimizer)
        if self._moving_average is not None:
            self._moving_average.apply(self.count)

    def _overflowed(self) -> bool:
        """Return whether scaled gradients overflowed, so that this step must change nothing.

        The scaler then only lowers its scale. Checked before the schedules count the step.
        """
        scaler = self._precision.scaler
        if scaler is None:
            return False
        if not self._limits:  # else `_limit_gradients` has unscaled them; twice is an error
            scaler.unscale_(self._optimizer)
        found = scaler._found_inf_per_device(self._optimizer)
        return any(bool(value) for value in found.values())

    def _total_weight(self, batches: Sequence[Batch]) -> torch.Tensor | float:
        """Return the divisor of the loss of one batch with all the items."""
        parts = [self._model.loss_weight(batch.tensors, len(batch)) for batch in batches]
        total = sum(parts[1:], parts[0])
        if isinstance(total, torch.Tensor):
            return torch.where(total > 0, total, torch.inf)  # 0 / inf: nothing to learn from
        return total or math.inf

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
        """Restore a state.

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

    def _backward(
        self, batch: Batch, parts: int, total: torch.Tensor | float | None
    ) -> torch.Tensor:
        inputs = self._to_device(batch)
        with self._precision.autocast():
            outputs = self._forward(inputs, batch)
            loss = self._loss(outputs, batch)  # also with accumulation: checks that there is one
            if total is not None:  # the share in the mean over the items of all parts
                loss = self._model.loss_sum(outputs, inputs, len(batch)) / total
            penalty = self._model.get_regularization_penalty()
        if penalty is not None:
            loss = loss + penalty / parts  # the penalty of one batch, spread over its parts
        scaler = self._precision.scaler
        done = False
        if self.on_backward is not None:
            done = self.on_backward({**outputs, "loss": loss})
        if not done:
            torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
        if self.keep_outputs:
            self.inputs.append(inputs)
            self.outputs.append(outputs)
        # Not .item(): reading the value would wait for the device at every step
        detached = loss.detach()
        return detached.clone() if self._copy_loss else detached

    def _forward(self, inputs: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        try:
            outputs = checked_outputs(self._model, self._model(**inputs))
        except ValueError as error:
            if not is_one_value_error(error):
                raise
            message = one_value_message(len(batch), str(error))
            raise DataError(f"the batch of {', '.join(batch.ids[:3])}: {message}") from error
        return outputs

    def _loss(self, outputs: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        loss: torch.Tensor | None = outputs.get("loss")
        if loss is None:
            raise TrainingError(
                f"{type(self._model).__name__} returned no loss for a batch with the labels of "
                f"{', '.join(batch.ids[:3])} ...; training needs labeled images"
            )
        if not loss.requires_grad and self.on_backward is None:
            raise wrong_result(
                self._model,
                "forward",
                'as "loss" a tensor that parameters which train have a part in (no detach(), '
                "item() or no_grad() on the way)",
                loss,
            )
        return loss

    def _limit_gradients(self) -> None:
        if not self._limits:
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
