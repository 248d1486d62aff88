"""Curves and histograms for TensorBoard (an extra: `pip install "allencv-al[tensorboard]"`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge
from overrides import overrides

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.trainers.epoch_metrics import scalars

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from allencv_al.training.trainers.base import EpochTrainer

_LOG_FOLDER = "log"


_NOT_INSTALLED = 'is not installed; pip install "allencv-al[tensorboard]" adds it'


def _is_installed() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


@TrainerCallback.register("tensorboard")
class TensorBoardCallback(TrainerCallback):
    """Write event files for TensorBoard to `log/train` and `log/validation` in the run's folder.

    Needs the extra: `pip install "allencv-al[tensorboard]"`.

    Args:
        serialization_dir: Folder of the run.
        summary_interval: Steps between two values of the loss, and of the other figures below.
        distribution_interval: Steps between two histograms of all parameters; null draws none.
        batch_size_interval: Steps between two values of the batch size; null writes none.
        should_log_parameter_statistics: Whether to write mean and deviation of each parameter and
            of its gradient.
        should_log_learning_rate: Whether to write the learning rate of each parameter group.
        log_dir: Folder for `train` and `validation`, in place of `log` in the run's folder.

    Raises:
        ConfigurationError: The extra is not installed, or there is no folder.
    """

    def __init__(
        self,
        serialization_dir: str | Path | None = None,
        summary_interval: Annotated[int, Ge(1)] = 100,
        distribution_interval: Annotated[int, Ge(1)] | None = None,
        batch_size_interval: Annotated[int, Ge(1)] | None = None,
        should_log_parameter_statistics: bool = True,
        should_log_learning_rate: bool = False,
        log_dir: Path | None = None,
    ) -> None:
        super().__init__(serialization_dir)
        if not _is_installed():
            raise ConfigurationError(f"tensorboard: {_NOT_INSTALLED}")
        if log_dir is None:
            if self.serialization_dir is None:
                raise ConfigurationError("tensorboard: needs a serialization_dir to write to")
            log_dir = self.serialization_dir / _LOG_FOLDER
        from torch.utils.tensorboard import SummaryWriter

        self._training: SummaryWriter = SummaryWriter(str(log_dir / "train"))
        self._validation: SummaryWriter = SummaryWriter(str(log_dir / "validation"))
        self._summary_interval = summary_interval
        self._distribution_interval = distribution_interval
        self._batch_size_interval = batch_size_interval
        self._statistics = should_log_parameter_statistics
        self._learning_rate = should_log_learning_rate

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if not _is_installed():
            yield config.fault("", f"tensorboard {_NOT_INSTALLED}")

    @overrides
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
        # Optimizer steps, not batches: figures of runs with other accumulation can be compared
        step = trainer.steps_completed
        if _is_due(step, self._summary_interval):
            self._add("loss/step", batch_metrics["loss"], step)
            if batch_grad_norm is not None:
                self._add("gradient_norm", batch_grad_norm, step)
            self._add_figures(trainer, step)
        if _is_due(step, self._batch_size_interval):
            self._add("batch_size", sum(_size(inputs) for inputs in batch_inputs), step)
        if _is_due(step, self._distribution_interval):
            for name, parameter in trainer.model.named_parameters():
                self._training.add_histogram(f"parameter/{name}", parameter, step)

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        for name, value in scalars(metrics).items():
            if name.startswith("validation_"):
                label = f"epoch/{name.removeprefix('validation_')}"
                self._validation.add_scalar(label, value, epoch)
            elif name.startswith("training_"):
                label = f"epoch/{name.removeprefix('training_')}"
                self._training.add_scalar(label, value, epoch)
        # Once an epoch, so that a killed run has all but its last epoch on disk
        self._training.flush()
        self._validation.flush()

    @overrides
    def on_end(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any] | None = None,
        epoch: int | None = None,
        is_primary: bool = True,
    ) -> None:
        self._training.close()
        self._validation.close()

    def _add_figures(self, trainer: EpochTrainer, step: int) -> None:
        if self._learning_rate:
            for index, group in enumerate(trainer.optimizer.param_groups):
                self._add(f"learning_rate/group_{index}", group["lr"], step)
        if not self._statistics:
            return
        for name, parameter in trainer.model.named_parameters():
            # One value has no deviation: torch warns, and gives NaN
            if parameter.numel() > 1:
                self._add(f"parameter_mean/{name}", parameter.detach().mean(), step)
                self._add(f"parameter_std/{name}", parameter.detach().std(), step)
            if parameter.grad is not None and parameter.numel() > 1:
                self._add(f"gradient_mean/{name}", parameter.grad.mean(), step)
                self._add(f"gradient_std/{name}", parameter.grad.std(), step)

    def _add(self, name: str, value: torch.Tensor | float, step: int) -> None:
        # float() waits for the device; only called every `summary_interval` steps
        self._training.add_scalar(name, float(value), step)


def _is_due(step: int, interval: int | None) -> bool:
    return interval is not None and step % interval == 0


def _size(inputs: Mapping[str, Any]) -> int:
    return max((len(value) for value in inputs.values() if hasattr(value, "__len__")), default=0)
