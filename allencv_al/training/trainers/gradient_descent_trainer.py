"""Trainer `gradient_descent`: builds optimizer, schedules and callbacks for `training_loop.py`."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from annotated_types import Gt
from overrides import overrides

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.data.batch import Batch
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.data_loaders.base import OrderedLoader
from allencv_al.models.model import Model, needs_several_items
from allencv_al.models.precision import Precision
from allencv_al.modules.parameter_names import compiled, unmatched_error
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.callbacks.base import CallbackList
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.checks.model_check import unfreezing_faults
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.learning_rate_schedulers.base import warn_of_long_warmup
from allencv_al.training.momentum_schedulers import MomentumScheduler
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.moving_average import MovingAverage
from allencv_al.training.trainers.training_loop import TrainingLoop
from allencv_al.training.trainers.training_step import TrainingStep

logger = logging.getLogger(__name__)

T = TypeVar("T")

CompileMode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]

# These replay CUDA graphs, which overwrite the loss that the step before returned
_CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")
_DEFAULT_CALLBACKS = ("console_logger", "metrics_jsonl", "pictures")


@Trainer.register("gradient_descent")
class GradientDescentTrainer(TrainingLoop):
    """Train a model by gradient descent; keep the weights of its best epoch.

    The options are those of AllenNLP 2.10. After each epoch the model is validated, with the
    averages of `moving_average` if there is one. At the end it has the weights of the best epoch,
    or of the last where there is no validation data. SIGINT and SIGTERM end the training after the
    current step, with a checkpoint; a second one ends it at once. A run that was killed at any
    moment and recovered ends with the same bits as one that was not, on the same machine and device
    (on a GPU with `deterministic`).

    Args:
        model: The model.
        data_loader: The training data.
        validation_data_loader: The data that chooses the best epoch.
        serialization_dir: Folder of the run; without one nothing is written.
        optimizer: Default: `adam`.
        grad_norm: Scale all gradients down to this norm where theirs is larger. True only measures
            the norm, for callbacks.
        grad_clipping: Clip each element of the gradients to plus or minus this value.
        learning_rate_scheduler: The learning rate scheduler.
        momentum_scheduler: The momentum scheduler.
        moving_average: Averages of the parameters, used for validation and as the result.
        checkpointer: Writes checkpoints, and keeps some of them.
        no_grad: Parameters whose names one of these regular expressions finds are not trained.
        callbacks: Callbacks of the training.
        run_confidence_checks: Whether `confidence_checks` takes part too.
        compile: Whether to compile the model by `torch.compile`, or with which of its modes. Pays
            for long trainings on a GPU.
        **options: See `TrainingLoop`.

    Raises:
        ConfigurationError: Options exclude each other, or the GPU is not there.
    """

    def __init__(
        self,
        model: Model,
        data_loader: DataLoader,
        validation_data_loader: DataLoader | None = None,
        serialization_dir: str | Path | None = None,
        optimizer: Lazy[Optimizer] | None = None,
        *,  # version 0.1 had others here: a value by its place would go to the wrong one
        grad_norm: Annotated[float, Gt(0)] | bool | None = None,
        grad_clipping: Annotated[float, Gt(0)] | None = None,
        learning_rate_scheduler: Lazy[LearningRateScheduler] | None = None,
        momentum_scheduler: Lazy[MomentumScheduler] | None = None,
        moving_average: Lazy[MovingAverage] | None = None,
        checkpointer: Lazy[Checkpointer] | None = None,
        no_grad: list[re.Pattern[str]] | None = None,
        callbacks: list[Lazy[TrainerCallback]] | None = None,
        run_confidence_checks: bool = True,
        compile: bool | CompileMode = False,
        **options: Any,
    ) -> None:
        super().__init__(model, data_loader, validation_data_loader, serialization_dir, **options)
        parameters = _trainable_parameters(model, no_grad or [])
        self.moving_average = _construct(moving_average, parameters=parameters)
        self.optimizer = (optimizer or Lazy(Optimizer.from_params)).construct(
            model_parameters=list(model.named_parameters())  # it leaves the frozen ones out
        )
        self._avoid_single_items()  # changes the number of batches, which the schedules count
        # The last step of an epoch accumulates fewer batches where they do not divide evenly
        steps = math.ceil(len(data_loader) / self.batches_per_step)
        schedule = {
            "optimizer": self.optimizer,
            "num_epochs": self.num_epochs,
            "num_steps_per_epoch": steps,
            "validation_metric": self.validation_metric,
        }
        self.learning_rate_scheduler = _construct(learning_rate_scheduler, **schedule)
        warn_of_long_warmup(self.learning_rate_scheduler, self.num_epochs * steps)
        self.momentum_scheduler = _construct(momentum_scheduler, **schedule)
        self._check_validation()  # before the first file is written
        self.checkpointer = None
        if self.serialization_dir is not None:
            self.checkpointer = (checkpointer or Lazy(Checkpointer.from_params)).construct(
                serialization_dir=self.serialization_dir
            )
        self.callbacks = self._make_callbacks(callbacks or [], run_confidence_checks)
        self.step = self._make_step(grad_norm, grad_clipping, compile)

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from super().config_faults(config)
        yield from unfreezing_faults(config)

    def _check_validation(self) -> None:
        """Raise where the validation metric or the data for it is missing."""
        if self.validation_data_loader is None:
            if getattr(self.learning_rate_scheduler, "needs_metric", False):
                raise ConfigurationError(
                    "learning_rate_scheduler: it looks at the validation metric, so it needs "
                    "validation data, found none"
                )
        elif type(self.model).__module__.startswith("allencv_al."):
            # A model of the user's own may report more metrics once it has seen a batch
            self.metric_tracker.require(dict.fromkeys(self._names_before_a_batch()))

    @overrides
    def replace_loaders(self, replaced: Callable[[DataLoader, Precision], DataLoader]) -> None:
        if all(parameter.requires_grad for parameter in self.model.parameters()):
            return  # no network that stays as it is, so nothing is saved
        # A callback of a user's own may look at the images of a batch
        if not self.model.embedding_is_fixed() or self.callbacks.shows_batches_to_others:
            return
        if not isinstance(self.data_loader, OrderedLoader):
            return  # a loader of the user's own, which may have other batches
        if self.num_epochs * len(self.data_loader) < self.data_loader.order.batches_per_pass:
            return  # not every image is seen
        self.data_loader = replaced(self.data_loader, self.precision.name)
        if self.validation_data_loader is not None:
            self.validation_data_loader = replaced(self.validation_data_loader, self.precision.name)

    def _avoid_single_items(self) -> None:
        """Merge a last batch of one image if the model cannot train on one (batch norm).

        After the optimizer, which freezes layers for good, and before schedules count the steps
        and freeze layers for a while.
        """
        was_training = self.model.training
        self.needs_several_items = needs_several_items(self.model.train())
        self.model.train(was_training)
        if self.needs_several_items and isinstance(self.data_loader, DataLoader):
            self.data_loader.avoid_single_items()

    def _make_step(
        self, grad_norm: float | bool | None, grad_clipping: float | None, compile: bool | str
    ) -> TrainingStep:
        if compile:
            self.model.compile(mode="default" if compile is True else compile)
        step = TrainingStep(
            self.model,
            self.optimizer,
            self.precision,
            self._to_device,
            self.learning_rate_scheduler,
            self.momentum_scheduler,
            self.moving_average,
            grad_norm,
            grad_clipping,
            copy_loss=compile in _CUDA_GRAPH_MODES,
        )
        step.keep_outputs = self.callbacks.watches_batches
        if self.callbacks.watches_backward:
            step.on_backward = partial(self.callbacks.on_backward, self)
        return step

    def _to_device(self, batch: Batch) -> dict[str, Any]:
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        return self.data_loader.to_device(batch, self.device, memory_format)

    def _make_callbacks(self, given: Sequence[Lazy[TrainerCallback]], checks: bool) -> CallbackList:
        folder = self.serialization_dir
        callbacks = [callback.construct(serialization_dir=folder) for callback in given]
        names = [
            *(_DEFAULT_CALLBACKS if self.show_progress else ()),
            *(["confidence_checks"] * checks),
        ]
        for name in names:
            cls = TrainerCallback.resolve(name)[0]
            # One that the config lists has options of its own, and must not run twice
            if not any(type(callback) is cls for callback in callbacks):
                callbacks.append(TrainerCallback.from_params(name, serialization_dir=folder))
        return CallbackList(callbacks)


def _trainable_parameters(
    model: Model, no_grad: Sequence[re.Pattern[str]]
) -> list[tuple[str, torch.nn.Parameter]]:
    names = [name for name, _ in model.named_parameters()]
    for pattern in map(compiled, no_grad):
        if not any(map(pattern.search, names)):
            raise unmatched_error("no_grad", pattern, names)
    for name, parameter in model.named_parameters():
        if any(re.search(pattern, name) for pattern in no_grad):
            parameter.requires_grad_(False)
            logger.info("not trained (no_grad): %s", name)
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trainable:
        raise ConfigurationError("the model has no parameters to train; check no_grad")
    return trainable


def _construct(lazy: Lazy[T] | None, **extras: Any) -> T | None:
    return None if lazy is None else lazy.construct(**extras)
